"""Clips in words: the same for the same seed, true, in several looks of the same play, and in Crafter too."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.data.captioned import CLIP_FRAMES
from worldsim.data.clip_shards import Clip
from worldsim.evals.permanence.scene import COLOURS
from worldsim_envs.registry import WORLDS, load
from worldsim_envs.toybox.clips import TURNS, make_clips
from worldsim_envs.toybox.looks import LOOKS
from worldsim_policies.base import make_explorer


def toybox_clips(seed: int) -> list[Clip]:
    return make_clips(seed, 48, 64, lambda rng: make_explorer("toybox", rng))


@pytest.fixture(scope="module")
def groups() -> list[list[Clip]]:
    return [toybox_clips(seed) for seed in range(40)]


def test_same_seed_same_clips(groups: list[list[Clip]]) -> None:
    for before, again in zip(groups[7], toybox_clips(7), strict=True):
        assert (before.frames == again.frames).all() and before.story == again.story


def test_all_looks_pairs_and_changes(groups: list[list[Clip]]) -> None:
    clips = [clip for group in groups for clip in group]
    assert {clip.look for clip in clips} == set(LOOKS)
    assert all(clip.frames.shape == (CLIP_FRAMES, 48, 64, 3) and len(clip.moments) == 5 for clip in clips)
    pairs = [group for group in groups if len(group) == 2]
    assert len(pairs) > 4 and all(a.look != b.look and (a.frames != b.frames).any() for a, b in pairs)
    for a, b in pairs:
        assert [c for c in COLOURS if c in a.story[0].lower()] == [c for c in COLOURS if c in b.story[0].lower()]
    turns = [turn for words in TURNS.values() for turn in words]
    changing = [clip for clip in clips if "then" in clip.story[0]]
    assert changing and all(any(text.endswith(turn) for turn in turns) for clip in changing for text in clip.story)
    for clip in changing:
        steps = np.abs(np.diff(clip.frames.astype(int), axis=0)).mean((1, 2, 3))
        assert steps.argmax() in range(3, 12) and steps.max() > 3 * np.median(steps)
        assert not any("then" in text for moment in clip.moments for text in moment)


def test_clips_of_crafter_begin_at_all_times_with_all_bags() -> None:
    """And their words say so."""
    pytest.importorskip("crafter")
    source = load(WORLDS["crafter"].clips)
    told = " ".join(
        text
        for seed in range(12)
        for text in source.make(seed, 36, 48, lambda rng: make_explorer("crafter", rng))[0].moments[0]
    )
    assert all(words in told for words in (" day", " night", "iron", "pickaxe", "sword"))
