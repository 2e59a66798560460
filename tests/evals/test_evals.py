"""Every instrument on simulators that are right, or wrong in a known way."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
import toy
from rich.console import Console

from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError
from worldsim.evals import metrics, report, statistics, terminal
from worldsim.evals.core import CopyLast, Simulator, policy_rollout, reset_from_context, rollout
from worldsim.evals.instruments import (
    actions,
    detail,
    drift,
    events,
    fidelity,
    motion,
    outcome,
    state,
    stillness,
    trust,
    turn,
)
from worldsim.evals.probes import CounterProbe, EventProbe, StateGroup, Target, TurnProbe
from worldsim.evals.report_files import write_report
from worldsim.evals.scenes import RecordingSplit, Scenes, check_recording
from worldsim.evals.section import Curves, Figure, Section, Strip, Table, number
from worldsim.psnr import IDENTICAL

HORIZONS = (1, 4, 16)
GROUPS = (StateGroup("square", ("row", "column"), unit="px", radius=2.0), StateGroup("bar", ("bar",), period=40.0))


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> RecordingSplit:
    return RecordingSplit(Recording(toy.record(tmp_path_factory.mktemp("toy") / "toy")))


@pytest.fixture(scope="module")
def scenes(split: RecordingSplit) -> Scenes:
    return split.draw(12, 3, 40, 0)


def figures(section: Section) -> dict[str, Figure]:
    return {figure.key: figure for figure in section.figures}


def values(section: Section) -> dict[str, float]:
    return {figure.key: figure.value for figure in section.figures}


def run_free(simulator: Simulator, scenes: Scenes) -> np.ndarray:
    return rollout(simulator, *scenes.past, scenes.future_actions)


def judge_fidelity(simulator: Simulator, scenes: Scenes) -> dict[str, float]:
    forced = fidelity.teacher_forced(simulator, scenes, HORIZONS)
    return values(fidelity.fidelity(scenes, run_free(simulator, scenes), forced, toy.codec, HORIZONS))


def explorer(frames: np.ndarray) -> np.ndarray:
    """Goes up most of the time; its moods depend on the bar, which is always elsewhere."""
    bar = toy.read(frames)[:, 3].astype(int)
    return np.array([3, 3, 3, 1, 3, 0, 2, 3, 4, 3])[bar // 2 % 10]


def run_long(
    simulator: Simulator, split: RecordingSplit, rows: int = 3, steps: int = 150
) -> tuple[np.ndarray, np.ndarray]:
    starts = split.draw(rows, 3, 0, 1)
    return policy_rollout(simulator, *starts.past, explorer, steps)


# scenes


def test_scenes_are_held_out_different_and_spread(split: RecordingSplit):
    scenes = split.draw(9, 3, 10, 0)
    held_out = split.recording.episodes("held-out")
    assert len(held_out) == 4
    inside = [[a + 2 <= last < b - 10 for last in scenes.lasts] for a, b in held_out]
    assert np.sum(inside, axis=1).tolist() == [3, 2, 2, 2]
    assert len(set(scenes.lasts)) == 9
    assert np.array_equal(scenes.frames[5, 2], split.recording.frames[int(scenes.lasts[5])])
    assert scenes.truth.shape == (9, 10, toy.H, toy.W, 3) and scenes.future_actions.shape == (9, 10)
    again = split.draw(9, 3, 10, 0)
    assert np.array_equal(again.frames, scenes.frames)


def test_scenes_align_actions_with_what_follows(scenes: Scenes):
    for i in range(len(scenes)):
        state = scenes.state[i, scenes.context - 1]
        state, _ = toy.advance(state, int(scenes.future_actions[i, 0]))
        assert np.array_equal(toy.draw(state), scenes.truth[i, 0])


def test_scenes_that_do_not_fit_are_refused(split: RecordingSplit):
    with pytest.raises(WorldsimError, match="Record longer"):
        split.draw(4, 3, 500, 0)


def test_recording_without_held_out_episodes_is_refused(tmp_path: Path):
    with pytest.raises(WorldsimError, match="held-out"):
        RecordingSplit(Recording(toy.record(tmp_path / "short", episodes=3, length=8)))


def test_recording_of_another_world_is_refused(split: RecordingSplit, small_spec):
    check_recording(split.recording, toy.SPEC)
    with pytest.raises(WorldsimError, match=r"its world is toy, not small.*worldsim record small --size 32x16"):
        check_recording(split.recording, small_spec)


# metrics


def test_psnr_of_a_known_error():
    truth = np.zeros((2, 6, 8, 3), np.uint8)
    assert metrics.psnr(truth + 10, truth) == pytest.approx([20 * math.log10(25.5)] * 2)
    assert metrics.psnr(truth, truth).tolist() == [IDENTICAL] * 2
    where = np.zeros((6, 8), bool)
    where[0] = True
    half = truth.copy()
    half[:, 1:] = 200
    assert metrics.psnr(half, truth, where).tolist() == [IDENTICAL] * 2


def test_detail_orders_blank_smooth_and_noise():
    smooth = np.broadcast_to(np.arange(0, 240, 6, dtype=np.uint8)[:, None], (24, 40, 3))
    noise = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    blank, even, rough = metrics.detail(np.stack([np.full_like(noise, 7), smooth, noise]))
    assert blank == 0 and even < 1 and rough > 50


def test_intervals_hold_their_mean_and_wilson_is_known():
    low, high = statistics.mean_interval(np.array([1.0, 2.0, 3.0, np.nan]))
    assert 1 <= low < 2 < high <= 3
    assert statistics.wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-3)
    assert all(math.isnan(v) for v in statistics.wilson(0, 0))


# fidelity


def test_perfect_world_is_beyond_the_ceiling_and_gains_on_copy(scenes: Scenes):
    found = judge_fidelity(toy.Perfect(), scenes)
    assert found["fidelity.free_psnr_16"] == IDENTICAL
    assert 35 < found["fidelity.codec_psnr"] < 50
    assert found["fidelity.gain_16"] > 20


def test_copying_gains_nothing(scenes: Scenes):
    found = judge_fidelity(CopyLast(), scenes)
    assert found["fidelity.gain_1"] == found["fidelity.gain_16"] == 0


def test_teacher_forcing_forgives_what_free_running_does_not(scenes: Scenes):
    section = fidelity.fidelity(
        scenes,
        run_free(toy.Perfect("deaf"), scenes),
        fidelity.teacher_forced(toy.Perfect("deaf"), scenes, HORIZONS),
        toy.codec,
        HORIZONS,
    )
    rows = {row[0]: row[1:] for row in section.tables[0].rows}
    assert rows["teacher-forced"][2] > rows["free-running"][2] + 3
    assert set(rows) >= {"copy of the last frame", "copy of the frame before", "encode-decode ceiling"}


# outcome and events


def test_rare_frames_are_drawn_and_weighed(split: RecordingSplit):
    rare = split.rewards > 0
    sample = outcome.sample(split, rare, 3, 20, 0)
    assert sample is not None and sample.rare.sum() == 20 and len(sample.rare) == 20 + 20 * outcome.OTHERS
    assert len(np.unique(sample.scenes.lasts)) == len(sample.rare)
    came = sample.scenes.rewards[:, 2] > 0
    np.testing.assert_array_equal(came, sample.rare)
    real = np.concatenate([rare[start + 2 : end - 1] for start, end in split.episodes])
    assert np.average(sample.rare, weights=sample.weight) == pytest.approx(real.mean())
    assert outcome.sample(split, split.terminated, 3, 20, 0) is None


def test_who_knows_what_pays_and_what_ends_is_told_from_who_guesses(split: RecordingSplit):
    sample = outcome.sample(split, split.rewards > 0, 3, 200, 0)
    usual = outcome.usual_reward(split)
    assert sample is not None and usual == 0
    rng = np.random.default_rng(0)
    chance = np.average(sample.rare, weights=sample.weight)
    found = {}
    for name, said in {
        "knows": sample.rare.astype(float),
        "always fears": np.full(len(sample.rare), 0.9),
        "guesses": rng.uniform(0, 2 * chance, len(sample.rare)),
    }.items():
        found[name] = values(outcome.outcome(sample, 1 - said, sample, said, usual))
    assert found["knows"]["outcome.end_auroc"] == found["knows"]["outcome.reward_auroc"] == 1
    assert found["knows"]["outcome.end_calibration"] == found["knows"]["outcome.reward_error"] == 0
    assert found["always fears"]["outcome.end_calibration"] == pytest.approx(0.9 - chance)
    assert abs(found["guesses"]["outcome.end_auroc"] - 0.5) < 0.1 > found["guesses"]["outcome.end_calibration"]
    assert found["knows"]["outcome.ends"] == pytest.approx(1000 * chance)
    unjudged = outcome.outcome(None, np.zeros(0), None, np.zeros(0), usual)
    assert not unjudged.figures and len(unjudged.notes) == 2


def test_event_rates_are_compared_while_play_goes_on(scenes: Scenes):
    probes = (
        EventProbe("bar", "bar", "bar", "level"),
        EventProbe("rise", "rise of the row", "row", "growth"),
        EventProbe("ends", "ends", "", "count"),
    )
    b, n = scenes.truth.shape[:2]
    ended = np.zeros((b, n), bool)
    ended[::2, 9] = ended[::2, 20] = True  # what comes after the first end doesn't count
    paid = np.ones((b, n))
    real = events.Episodes.of(scenes.truth, ended, paid)
    assert real.ended.sum() == b // 2 and real.alive[0].sum() == 10 and real.alive[1].all()

    def judged(generated: events.Episodes) -> dict[str, float]:
        return values(events.events(probes, toy.SPEC.state_names, toy.read, real, generated))

    same = judged(real)
    assert all(same[f"events.{key}"] == 0 for key in ("bar", "rise", "ends"))
    assert same["events.imagined"] == pytest.approx((b // 2 * 10 + (b - b // 2) * n) / b)
    often = judged(events.Episodes.of(scenes.truth, ended | (np.arange(n) == 4), paid))
    assert often["events.ends"] > 1 and often["events.imagined"] == 5
    still = judged(events.Episodes.of(np.repeat(scenes.truth[:, :1], n, axis=1), ended, paid))
    assert still["events.rise"] == pytest.approx(1) and still["events.ends"] == 0


# trust


def test_auroc_of_known_scores():
    positive = np.array([True, True, False, False])
    assert trust.auroc(np.array([3.0, 2.0, 1.0, 0.0]), positive) == 1
    assert trust.auroc(np.array([3.0, 1.0, 2.0, 0.0]), positive) == 0.75
    assert trust.auroc(np.array([1.0, 1.0, 1.0, 1.0]), positive) == 0.5
    assert math.isnan(trust.auroc(np.array([1.0]), np.array([True])))


def test_who_says_when_it_goes_wrong_is_trusted(scenes: Scenes):
    rng = np.random.default_rng(0)
    lost = np.maximum.accumulate(rng.random(scenes.truth.shape[:2]) < 0.05, axis=1)  # from some frame on
    first = lost & ~np.pad(lost, ((0, 0), (1, 0)))[:, :-1]
    frames = np.where(first[..., None, None, None], 255 - scenes.truth, scenes.truth)
    run = np.where(lost[..., None, None, None], 255 - scenes.truth, scenes.truth)
    said, noise = first.astype(np.float32), rng.random(first.shape).astype(np.float32)
    for words, low, high in ((said, 1.0, 1.0), (noise, 0.2, 0.8)):
        heard = trust.Predictions(frames, scenes.truth, words), trust.Predictions(run, scenes.truth, words)
        told = trust.OODScores(words * 0.5, np.array([0.1, 0.2]), np.array([0.3, 0.15]))
        section = trust.trust(*heard, told, toy.codec)
        assert values(section)["trust.ood_auroc"] == 0.75
        assert section.tables[1].rows[2][0] == "OOD"
        assert low <= values(section)["trust.uncertainty_auroc"] <= high
        assert low <= values(section)["trust.doubt_auroc"] or words is noise
        assert section.tables[1].rows[-1][1] == f"{lost.mean():.0%}"


def test_play_that_has_ended_begins_again(split: RecordingSplit):
    starts = split.draw(2, 3, 0, 1)
    perfect = toy.Perfect()

    def restart(state, t):
        return reset_from_context(perfect, *starts.past, np.arange(2)) if t == 9 else state

    seen, taken = policy_rollout(perfect, *starts.past, explorer, 12, restart=restart)
    begun = toy.read(starts.frames[:, -1])
    once = np.stack([toy.advance(s, int(a))[0] for s, a in zip(begun, taken[:, 10], strict=True)])
    np.testing.assert_allclose(toy.read(seen[:, 11]), once, atol=0.5)
    assert np.abs(toy.read(seen[:, 10]) - begun).max() > 1  # the frame of the end is still seen


def test_rollout_in_batches_is_rollout_in_one(scenes: Scenes):
    wide = toy.Perfect()
    wide.rows = 100
    assert np.array_equal(run_free(wide, scenes), run_free(toy.Perfect(), scenes))


# actions


@pytest.mark.parametrize(("wrong", "listens"), [("", True), ("frozen", False), ("deaf", False)])
def test_only_who_listens_loses_by_other_actions(scenes: Scenes, wrong: str, listens: bool):
    simulator = toy.Perfect(wrong)
    found, _ = actions.following(simulator, scenes, run_free(simulator, scenes), 5, 0)
    deltas = {figure.key: figure.value for figure in found}
    for name in ("random", "permuted"):
        delta = deltas[f"actions.delta_psnr_{name}_16"]
        assert delta > 5 if listens else delta == 0


@pytest.mark.parametrize(("wrong", "share"), [("", (0.99, 1.01)), ("frozen", (0.0, 0.4)), ("noise", (0.0, 0.6))])
def test_actions_are_read_off_who_follows_them(split: RecordingSplit, wrong: str, share: tuple[float, float]):
    real = split.draw(6, 16, 0, 0)
    generated = run_long(toy.Perfect(wrong), split, steps=40)
    found, table = actions.agreement(
        toy.read_actions, "abcde", (real.frames, real.actions), run_long(toy.Perfect(), split, steps=40), generated
    )
    got = {figure.key: figure.value for figure in found}
    assert got["actions.agreement_ceiling"] > 0.8  # pressed against a wall, two actions look the same
    assert share[0] <= got["actions.agreement_of_ceiling"] <= share[1]
    assert [row[0] for row in table.rows] == ["real, held-out", "real, same policy", "generated"]


# stillness


def idle_scenes(split: RecordingSplit) -> tuple[Scenes, np.ndarray]:
    idle, still = stillness.idle_starts(split, toy.SPEC.noop, 0)
    return split.draw(4, 3, 0, 0, idle), still


def test_still_pixels_are_those_that_stay(split: RecordingSplit):
    scenes, still = idle_scenes(split)
    assert still[:20].all() and not still[21:].any()
    assert (scenes.actions[:, :2] == toy.SPEC.noop).all()


@pytest.mark.parametrize(("wrong", "least", "most"), [("", 60, 60), ("noise", 0, 12)])
def test_stillness(split: RecordingSplit, wrong: str, least: float, most: float):
    scenes, still = idle_scenes(split)
    generated = rollout(toy.Perfect(wrong), *scenes.past, np.zeros((4, 30), int))
    found = values(stillness.stillness(scenes, generated, generated, still, toy.codec))
    assert least <= found["stillness.psnr_30"] <= most


def test_slow_drift_is_seen(split: RecordingSplit):
    scenes, still = idle_scenes(split)
    generated = np.repeat(scenes.frames[:, -1:], 30, axis=1).astype(int) + np.arange(30)[:, None, None, None]
    section = stillness.stillness(scenes, generated.clip(0, 255).astype(np.uint8), None, still, toy.codec)
    assert values(section)["stillness.psnr_30"] < 22
    assert "stillness.starts_psnr_30" not in values(section)


def test_the_worst_shipped_start_counts_once_it_has_settled(split: RecordingSplit):
    scenes, still = idle_scenes(split)
    idle = np.repeat(scenes.frames[:, -1:], 30, axis=1)
    starts = idle.copy()
    starts[:, :5] = 255 - starts[:, :5]  # what was going on when the start was recorded
    found = figures(stillness.stillness(scenes, idle, starts, still, toy.codec))["stillness.starts_psnr_30"]
    assert found.value == IDENTICAL and found.n == 4
    starts[2, 17] = 255 - starts[2, 17]
    found = figures(stillness.stillness(scenes, idle, starts, still, toy.codec))["stillness.starts_psnr_30"]
    assert found.value < 10 and "start 3 of 4" in found.reference


# state


@pytest.mark.parametrize("wrong", ["", "deaf", "frozen"])
def test_state_error_grows_where_the_world_is_wrong(scenes: Scenes, wrong: str):
    free = run_free(toy.Perfect(wrong), scenes)
    found = values(state.state_error(GROUPS, toy.SPEC.state_names, toy.read, scenes, free, lambda frames: frames))
    if wrong:
        assert found["state.square_16"] > 3 and found["state.square_kept"] < 20
    else:
        assert found["state.square_16"] == 0 and found["state.square_kept"] == 40
    assert (found["state.bar_16"] > 5) == (wrong == "frozen")


def test_errors_of_angles_and_periods():
    names = ("sin", "cos", "x")
    near, far = (
        np.array([[math.sin(a), math.cos(a), x]]) for a, x in ((math.radians(179), 95.0), (math.radians(-179), 1.0))
    )
    assert state.group_error(StateGroup("h", ("sin", "cos"), "angle"), names, near, far) == pytest.approx([2.0])
    assert state.group_error(StateGroup("x", ("x",), "mean", period=96.0), names, near, far) == pytest.approx([2.0])


def test_one_misreading_ends_nothing():
    error = np.zeros((3, 20))
    error[0, 5] = 100
    error[1, 7:] = 100
    assert state.frames_kept(error, 3.0).tolist() == [20, 7, 20]


# detail over horizon


def test_detail_that_is_lost_is_found_at_its_horizon():
    rng = np.random.default_rng(0)
    real = rng.integers(0, 256, (3, 70, 16, 24, 3), dtype=np.uint8)
    blurred = real.copy()
    blurred[:, 16:] = 128 + (blurred[:, 16:].astype(np.int16) - 128) // 4  # a quarter of the contrast after 16 frames
    long = rng.integers(0, 256, (2, 1001, 16, 24, 3), dtype=np.uint8)
    grey = np.where(np.arange(1001)[None, :, None, None, None] < 700, long, 128).astype(np.uint8)
    section = detail.detail(blurred, real, grey, long, lambda frames: frames)
    found = values(section)
    assert found["detail.kept_16"] == 1 and found["detail.kept_64"] == pytest.approx(0.25, abs=0.03)
    assert found["detail.kept_256"] == pytest.approx(1, abs=0.05) and found["detail.kept_1000"] == 0
    assert "100 %" in figures(section)["detail.kept_16"].reference
    ends, shares = section.curves[0].lines["recorded keys"]
    assert ends[-1] == 70 and shares[0] == 100 and shares[-1] < 30


# a whole turn


def turn_world(returns: bool, turns: bool) -> tuple[Scenes, np.ndarray, TurnProbe, tuple[StateGroup, ...], list[str]]:
    """A camera that turns: the frame is the state itself, painted in its corner."""
    groups = (StateGroup("place", ("x", "y")), StateGroup("heading", ("sin", "cos"), "angle"))
    probe = TurnProbe(("left", "right"), 8, "place", "heading", 10.0, 30.0, "view", 5.0)
    rng = np.random.default_rng(0)
    angle = rng.uniform(-3, 3, 10)
    start = np.stack([np.arange(10) * 20, np.zeros(10), np.sin(angle), np.cos(angle), np.full(10, 9.0)], 1).astype(
        np.float32
    )
    states = np.repeat(start[:, None], 8, axis=1)
    way = np.where(np.arange(10) % 2 == 0, 1, -1)[:, None]
    turned = angle[:, None] + way * (np.arange(1, 9) * math.pi / 4 if turns else np.zeros(8))
    states[..., 2], states[..., 3] = np.sin(turned), np.cos(turned)
    if not returns:
        states[:, 4:, 0] += 100
    frames = paint(start)[:, None]
    zeros = np.zeros((10, 1))
    scenes = Scenes(frames, zeros.astype(int), zeros, start[:, None], np.arange(10), 1)
    return scenes, paint(states), probe, groups, ["x", "y", "sin", "cos", "view"]


def paint(states: np.ndarray) -> np.ndarray:
    frames = np.zeros((*states.shape[:-1], 8, 10, 3), np.uint8)
    codes = np.stack([states[..., 0] / 2, states[..., 1], states[..., 2] * 100 + 110, states[..., 3] * 100 + 110], -1)
    frames[..., :4, :, 0] = codes[..., :, None].round()
    return frames


def unpaint(frames: np.ndarray) -> np.ndarray:
    codes = frames[..., :4, 0, 0].astype(np.float32)
    parts = (
        codes[..., 0] * 2,
        codes[..., 1],
        (codes[..., 2] - 110) / 100,
        (codes[..., 3] - 110) / 100,
        codes[..., 0] * 0,
    )
    return np.stack(parts, -1)


@pytest.mark.parametrize(("returns", "turns", "share"), [(True, True, 1.0), (False, True, 0.0), (True, False, 0.0)])
def test_a_turn_must_turn_and_return(returns: bool, turns: bool, share: float):
    scenes, generated, probe, groups, names = turn_world(returns, turns)
    section = turn.whole_turn(probe, groups, names, unpaint, scenes, generated, lambda frames: frames)
    found = figures(section)
    assert found["turn.returned"].value == share
    assert found["turn.turned"].value == float(turns)
    assert (found["turn.nearest"].value == 1) == returns
    assert "100 %" in found["turn.returned"].reference


def test_turns_start_where_one_stood_with_a_view(split: RecordingSplit):
    probe = TurnProbe(("left", "right"), 8, "square", "heading", 10.0, 30.0, "bar", 20.0)
    starts = turn.turn_starts(split, probe, GROUPS, toy.SPEC)
    assert starts.any()
    moved = np.abs(np.diff(split.state[:, :2], axis=0)).sum(1)
    for i in np.flatnonzero(starts)[1:]:
        assert split.state[i, 3] >= 20 and moved[i - 1] == moved[i - 2] == 0
    ways = turn.turn_actions(probe, toy.SPEC, 3)
    assert ways.shape == (3, 8) and ways[:, 0].tolist() == [1, 2, 1]


# drift and motion


@pytest.fixture(scope="module")
def real_run(split: RecordingSplit) -> np.ndarray:
    return run_long(toy.Perfect(), split)[0]


@pytest.mark.parametrize(("wrong", "collapsed"), [("", 0.0), ("noise", 1.0), ("blank", 1.0), ("frozen", 0.0)])
def test_collapse_is_called_by_its_name(split: RecordingSplit, real_run: np.ndarray, wrong: str, collapsed: float):
    generated, _ = run_long(toy.Perfect(wrong), split)
    gallery = RecordingSplit(split.recording, "train").draw(50, 1, 0, 0).frames[:, 0]
    section = drift.drift(generated[:, 1:], real_run, gallery, toy.codec)
    found = values(section)
    assert found["drift.collapsed"] == pytest.approx(collapsed, abs=0.02)
    assert found["drift.broken"] == collapsed
    assert (found["drift.palette"] > 0.15) == (collapsed == 1.0)
    kinds = {row[0]: row[1] for row in section.tables[0].rows}
    if wrong in kinds:
        assert kinds[wrong] == 100.0


@pytest.mark.parametrize(("wrong", "share"), [("", 1.0), ("stopped", 0.0), ("frozen", 0.0)])
def test_what_always_moves_must_move(split: RecordingSplit, real_run: np.ndarray, wrong: str, share: float):
    generated, _ = run_long(toy.Perfect(wrong), split)
    found, table, notes = motion.moving(generated, real_run)
    assert not notes and found[0].key == "motion.moving"
    assert table.rows[-1][0] == "21-23" and table.rows[-1][1] == 100.0
    assert table.rows[-1][2] == 100 * share


def test_nothing_moves_all_the_time_is_said():
    still = np.zeros((2, 60, 8, 8, 3), np.uint8)
    found, _, notes = motion.moving(still, still)
    assert not found and "Nothing" in notes[0]


def noisy(frames: np.ndarray) -> np.ndarray:
    """A codec that shows something else beside the lamp every time."""
    shown = frames.copy()
    beside = shown[..., :20, 20:28, :]
    beside += np.random.default_rng(0).integers(0, 120, beside.shape, np.uint8)
    return shown


LAMP = CounterProbe("row", (0, 20 / toy.H, 20 / toy.W, 1))  # with what is beside it


@pytest.mark.parametrize(("wrong", "counts"), [("", True), ("uncounted", False)])
def test_counter_counts(split: RecordingSplit, real_run: np.ndarray, wrong: str, counts: bool):
    counter = motion.Counter(LAMP, toy.SPEC.state_names, split, noisy)
    generated, _ = run_long(toy.Perfect(wrong), split)
    found, table, strips = motion.counting(counter, toy.read, noisy(generated), noisy(real_run))
    got = {figure.key: figure.value for figure in found}
    assert table.rows[1][1] >= 3 and strips
    assert got["motion.counted"] == float(counts)
    assert got["motion.ghosts"] == 0 and got["motion.counted_net"] == got["motion.counted"]
    assert table.rows[0][1] == table.rows[0][2] > 0  # real jumps are all counted


def test_world_without_jumps_is_not_measured(split: RecordingSplit, real_run: np.ndarray):
    counter = motion.Counter(LAMP, toy.SPEC.state_names, split, noisy)
    generated, _ = run_long(toy.Perfect("frozen"), split)
    found, _, _ = motion.counting(counter, toy.read, noisy(generated), noisy(real_run))
    assert math.isnan(found[0].value)


# readers


@pytest.mark.slow
def test_readers_learn_and_are_kept(split: RecordingSplit, tmp_path: Path):
    from worldsim.evals.reader import train_action_reader, train_state_reader

    ticks = []
    read = train_state_reader(split.recording, tmp_path, 150, ticks.append)
    scenes = split.draw(20, 4, 0, 3)
    error = np.abs(read(scenes.frames) - scenes.state)
    assert np.median(error[..., 0]) < 1.0 and np.median(error[..., 3]) < 1.5
    assert sum(ticks) == 150

    ticks.clear()
    again = train_state_reader(split.recording, tmp_path, 150, ticks.append)
    assert np.array_equal(again(scenes.frames), read(scenes.frames))
    assert ticks == [150] and len(list(tmp_path.glob("*.safetensors"))) == 1

    read_action = train_action_reader(split.recording, tmp_path, 150)
    agree = read_action(scenes.frames) == scenes.actions[:, 1:-2]
    assert agree.shape == (20, 1) and agree.mean() > 0.6


# report


FACTS = {"world": "toy", "weights": "f" * 64, "command": "worldsim eval toy", "date": "2026-01-01"}


def a_report() -> report.Report:
    section = Section("toy", "A section", "How it was done.", notes=["A note."])
    section.figures.append(Figure("toy.share", "a share", 0.876, "%", (0.8, 0.9), "beside"))
    section.figures.append(Figure("toy.nothing", "not measured", float("nan"), "dB"))
    section.tables.append(Table("A table", ("", "1", "4"), [("a < b", 1.25, 30), ("c", np.float32(0.5), "x")]))
    x = np.arange(3)
    section.curves.append(
        Curves("A curve", "frames", "dB", {"one": (x, x * 2.0), "two": (x, x * 3.0, x - 1.0, x + 1.0)})
    )
    section.strips.append(Strip("A strip", {"real": np.zeros((4, 6, 8, 3), np.uint8)}, ("1", "2", "3", "4")))
    targets = (Target("toy.share", least=0.8), Target("toy.nothing", least=1.0), Target("bench.fps", least=30.0))
    return report.Report("eval", "A report", FACTS, [section], report.judge_targets(targets, [section]))


def test_report_is_written_whole_and_self_contained(tmp_path: Path):
    page, _, data = write_report(a_report(), tmp_path / "out")
    html = page.read_text("utf-8")
    assert (
        "a &lt; b" in html
        and html.count("data:image/png;base64,") == 2
        and "http" not in html.replace("<!doctype html>", "")
    )
    found = json.loads(data.read_text())
    assert found["sections"][0]["figures"][1]["value"] is None
    assert [verdict["met"] for verdict in found["targets"]] == [True, False]
    assert (tmp_path / "out" / report.strip_file("eval", "toy", 0)).exists()
    assert not list((tmp_path / "out").glob(".*"))


def test_a_report_is_read_as_it_was_written(tmp_path: Path):
    written = a_report()
    read = report.read_report(write_report(written, tmp_path)[-1], "Run it again.")
    assert read.facts == written.facts and read.verdicts == written.verdicts
    assert read.figures["toy.share"] == written.figures["toy.share"]
    assert math.isnan(read.figures["toy.nothing"].value) and read.sections[0].notes == ["A note."]


def test_figures_of_all_reports_of_a_folder_are_in_one_file(tmp_path: Path):
    def figures_after(kind: str, key: str, weights: str = "f" * 64) -> dict[str, dict]:
        section = Section("a", "A", "", [Figure(key, "a label", 0.5, "%", (0.4, 0.6), n=7)])
        facts = {**FACTS, "weights": weights, "command": f"worldsim {kind}"}
        write_report(report.Report(kind, kind, facts, [section]), tmp_path)
        return json.loads((tmp_path / "figures.json").read_text())["figures"]

    figures_after("eval", "old.one")
    figures_after("bench", "bench.fps")
    found = figures_after("eval", "new.one")
    assert set(found) == {"new.one", "bench.fps"}
    assert found["new.one"] == {
        "label": "a label",
        "value": 0.5,
        "unit": "%",
        "interval": [0.4, 0.6],
        "reference": "",
        "n": 7,
        "text": "50.0 % (40.0 … 60.0)",
        "report": "eval",
        "command": "worldsim eval",
        "date": "2026-01-01",
        "weights": "f" * 64,
    }
    assert set(figures_after("bench", "bench.fps", "0" * 64)) == {"bench.fps"}  # the others are of other weights
    (tmp_path / "figures.json").write_text("[" * 100_000)
    assert set(figures_after("eval", "new.one")) == {"new.one"}


def test_report_that_can_not_be_written_is_one_error(tmp_path: Path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(WorldsimError, match="Give another --out"):
        write_report(a_report(), tmp_path / "out")


def test_report_shows_targets_and_figures():
    text = shown(a_report())
    assert "87.6 % (80.0 … 90.0)" in text and "MISSED" in text and "met" in text


def test_names_from_files_can_not_steer_the_terminal():
    section = Section(
        "a", "[/red]", "\x1b[31m", tables=[Table("[/x]", ("[bold]",), [("\x1b]0;title\x07 [/nothing]",)])]
    )
    text = shown(report.Report("eval", "\x1b[2J", FACTS, [section]))
    assert "\x1b" not in text and "\x07" not in text
    assert "[/nothing]" in text and "[/red]" in text and "[bold]" in text


def shown(found: report.Report) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    terminal.show(found, console)
    return console.export_text()


def test_numbers_for_people():
    assert number(0.123, "%") == "12.3 %" and number(float("nan"), "dB") == "-"
    assert number(31.26, "dB") == "31.3 dB" and number(1.5) == "1.50" and number(4) == "4" and number("x") == "x"
