"""The judge of what is imagined, on real frames: it knows right from wrong, looks, seams and copies."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from worldsim.data.clip_shards import Clip
from worldsim.data.sketch import draw
from worldsim.evals.instruments.imagine import LookReader, copies, edits, ends, fit, shown, words
from worldsim.evals.instruments.imagine_guides import followed, restyled, sketches
from worldsim.evals.instruments.imagine_sizes import sizes
from worldsim.evals.report import judge_targets
from worldsim.evals.section import Figure
from worldsim_envs.toybox.asks import KINDS, LABELS, TARGETS, AskedToys, areas, ask, ask_edit
from worldsim_envs.toybox.clips import make_clips
from worldsim_policies.base import make_explorer

SIZE = (64, 80)


@pytest.fixture(scope="module")
def asked() -> list[AskedToys]:
    return [ask(kind, seed, *SIZE) for kind in KINDS for seed in range(24)]


def test_real_frames_are_right_and_others_are_not(asked: list[AskedToys]) -> None:
    judged = [a for a in asked if a.judged]
    assert len(judged) > 30
    assert all(not shown(a.real[None], a) for a in asked if not a.judged)
    assert np.mean([shown(a.real[None], a)[a.kind] for a in judged]) > 0.97
    assert np.mean([shown(a.real[None], a)["count"] for a in judged]) > 0.97
    assert np.mean([shown(b.real[None], a)[a.kind] for a, b in itertools.pairwise(judged)]) < 0.2


def test_most_of_the_frames_decide(asked: list[AskedToys]) -> None:
    one = next(a for a in asked if a.judged)
    clip = np.repeat(one.real[None], 17, 0)
    clip[[0, 4]] = 0  # two of the five that are looked at
    assert shown(clip, one)[one.kind]
    clip[8] = 0
    assert not shown(clip, one)[one.kind]


def test_relations_are_read_from_left_to_right(asked: list[AskedToys]) -> None:
    related = [a for a in asked if a.kind == "relation" and a.judged]
    assert related and all(shown(a.real[None], a)["relation"] for a in related)
    swapped = [dataclasses.replace(a, things=a.things[::-1]) for a in related]
    assert not any(shown(a.real[None], a)["relation"] for a in swapped)


def test_prompts_say_what_is_there(asked: list[AskedToys]) -> None:
    assert all("a " in a.text and "," in a.text for a in asked)
    night = [a for a in asked if a.look == "night"]
    assert night and all(a.text.endswith(("at night", "in the dark")) for a in night)


def test_words_section_has_its_controls(asked: list[AskedToys]) -> None:
    reader = LookReader([a.real for a in asked], [a.look for a in asked])
    assert reader.accuracy > 0.95
    made = [np.repeat(a.real[None], 5, 0) for a in asked]
    untold = [np.zeros((1, *SIZE, 3), np.uint8) for _ in asked]
    rebuilt = [a.real if a.kind == "one" else np.zeros_like(a.real) for a in asked]
    figures = {figure.key: figure for figure in words(asked, made, untold, rebuilt, LABELS, reader).figures}
    assert figures["imagine.two"].value > 0.95 and figures["imagine.look"].value == 1
    assert "without words 0.0 %" in figures["imagine.one"].reference
    assert "encoded and decoded 100.0 %" in figures["imagine.one"].reference
    assert "encoded and decoded 0.0 %" in figures["imagine.two"].reference


def test_fit_names_what_stands_beside() -> None:
    made, other = np.array([0.8, 0.6]), np.array([0.1, 0.3])
    cosine, chosen = fit({"made": made, "real": made, "another prompt": other}, np.array([1.0, 0.5])).figures
    assert cosine.value == pytest.approx(0.7) and cosine.reference == "real 0.700, another prompt 0.200"
    assert chosen.value == 0.75


def test_copies_are_found(asked: list[AskedToys]) -> None:
    frames = [a.real for a in asked]
    noise = [np.random.default_rng(i).integers(0, 256, (48, 48, 3), np.uint8) for i in range(3)]
    section = copies(frames[:5], noise, frames)
    assert section.figures[0].value == 0 and "held-out real frames" in section.figures[0].reference
    assert copies(noise, frames[:5], frames).figures[0].value > 20


def test_seams_and_what_is_kept() -> None:
    clips: list[np.ndarray] = []
    seed = 0
    while len(clips) < 6:
        for clip in make_clips(seed, *SIZE, lambda rng: make_explorer("toybox", rng)):
            if clip.look in ("day", "night") and "then" not in clip.story[0]:
                clips.append(clip.frames)
        seed += 1
    real = np.stack(clips)
    same = {f.key: f for f in ends(real, real, real, real, areas(SIZE[0])).figures}
    assert same["imagine-ends.kept"].value == 1 and (same["imagine-ends.kept"].n or 0) >= 3
    broken = real.copy()
    broken[:, 5:-5] = 128
    cut = {f.key: f for f in ends(real, broken, broken, broken, None).figures}
    assert cut["imagine-ends.joined"].value > 5 * same["imagine-ends.joined"].value
    assert "imagine-ends.kept" not in cut
    gone = {f.key: f for f in ends(real, broken[:, :12], real, real, areas(SIZE[0])).figures}
    assert gone["imagine-ends.kept"].value == 0


def test_lines_are_followed_by_what_was_drawn_alone(asked: list[AskedToys]) -> None:
    real = np.stack([a.real for a in asked[:12]])
    drawn = np.stack([draw(frame[None], np.random.default_rng(i))[0] for i, frame in enumerate(real)])
    same = {f.key: f for f in sketches(drawn, real, np.zeros_like(real), real).figures}
    assert (
        same["imagine-sketch.followed"].value > 0.9
        and "without the sketch 0.0 %" in same["imagine-sketch.followed"].reference
    )
    others = {f.key: f for f in sketches(drawn, np.roll(real, 3, 0), real, real).figures}
    assert others["imagine-sketch.f1"].value < same["imagine-sketch.f1"].value - 0.1
    assert followed(np.zeros(SIZE, np.uint8), real[0]) == pytest.approx((np.nan, np.nan), nan_ok=True)


def test_restyled_clips_are_judged_beside_the_real_pair() -> None:
    pairs: list[list[Clip]] = []
    seed = 0
    while len(pairs) < 5:
        made = make_clips(seed, *SIZE, lambda rng: make_explorer("toybox", rng))
        pairs += [made] if len(made) == 2 and made[1].look in ("day", "night") else []
        seed += 1
    sources, real = (np.stack([pair[i].frames for pair in pairs]) for i in (0, 1))
    looks = [pair[1].look for pair in pairs]
    shown = [ask("one", seed, *SIZE) for seed in range(40)]
    reader = LookReader([a.real for a in shown], [a.look for a in shown])
    judged = dict.fromkeys(("day", "night"), areas(SIZE[0]))

    def judge(clips: np.ndarray) -> dict[str, Figure]:
        return {f.key.split(".")[1]: f for f in restyled(sources, clips, real, looks, looks, reader, judged).figures}

    right, unchanged = judge(real), judge(sources)
    assert right["look"].value == 1 and right["kept"].value == 1 and right["flicker"].value == 0
    assert unchanged["look"].value < 0.5 and unchanged["psnr"].value < 25 < right["psnr"].value
    moved, noisy = judge(np.roll(real, 12, axis=3)), real.copy()
    noisy[:, ::2] = np.minimum(noisy[:, ::2].astype(int) + 6, 255)
    assert moved["kept"].value < 0.3 and moved["look"].value == 1
    assert judge(noisy)["flicker"].value > 4


def test_an_edit_is_right_where_the_thing_became_another_and_the_others_stayed() -> None:
    asked = [ask_edit(seed, *SIZE) for seed in range(40)]
    right, kept = edits(asked, [one.real for one in asked]).figures
    assert right.value > 0.95 and kept.value > 0.95
    assert "unchanged 0.0 %" in right.reference
    right, kept = edits(asked, [one.frame for one in asked]).figures
    assert right.value == 0 and kept.value > 0.95
    gone = [np.broadcast_to(one.frame[:1], one.frame.shape) for one in asked]
    assert [figure.value for figure in edits(asked, gone).figures] == [0, 0]


def test_targets_name_figures_that_are_measured(asked: list[AskedToys]) -> None:
    reader = LookReader([a.real for a in asked], [a.look for a in asked])
    made = [a.real[None] for a in asked]
    edited = [ask_edit(seed, *SIZE) for seed in range(3)]
    sections = [
        words(asked, made, made, [one.real for one in asked], LABELS, reader),
        edits(edited, [one.real for one in edited]),
    ]
    verdicts = judge_targets(TARGETS, sections)
    assert {v.key for v in verdicts} == {
        "imagine.one", "imagine.two", "imagine.relation", "imagine.look", "imagine-edits.right", "imagine-edits.kept"
    }  # fmt: skip
    assert all(v.met for v in verdicts)


def test_an_edit_leaves_all_but_its_region_as_it_is() -> None:
    for one in (ask_edit(seed, *SIZE) for seed in range(10)):
        changed = (one.real != one.frame).any(-1)
        assert changed.any() and not (changed & ~one.region).any()
        assert one.region.mean() < 0.3


def test_pictures_of_a_new_size_are_compared_with_those_of_trained_ones() -> None:
    rng = np.random.default_rng(0)
    real = {size: rng.standard_normal((120, 8)) for size in ((32, 32), (64, 64), (48, 80))}
    made = {size: rng.standard_normal((120, 8)) + (2.0 if size == (48, 80) else 0.5) for size in real}
    shown = {size: np.zeros((*size, 3), np.uint8) for size in real}
    section = sizes(real, made, {(48, 80)}, shown)
    figures = {figure.key: figure.value for figure in section.figures}
    assert figures["imagine-sizes.80x48"] > 4
    assert [row[:2] for row in section.tables[0].rows] == [
        ("32x32", "trained on"), ("80x48", "never trained on"), ("64x64", "trained on")
    ]  # fmt: skip
