"""What the dynamics read of a recording: windows, and clips of latents."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.data.latents import LatentDataset
from worldsim.data.recording import Recording
from worldsim.data.windows import Windows
from worldsim.errors import WorldsimError


def test_nothing_is_remembered_of_another_episode(clips: LatentDataset) -> None:
    past = clips.past(np.array([160, 163, 239]), ((4, 1), (16, 2)))  # episodes are 80 frames long
    assert (past.age > 0).sum(1).tolist() == [0, 3, 10]
    assert past.actions.min() >= 0
    assert sorted(past.age[1].tolist())[-3:] == [1, 2, 3]


def test_first_and_last_frames_are_drawn_as_often_as_others() -> None:
    windows = Windows([(0, 60), (60, 85), (85, 300)], 20)
    drawn = np.concatenate([windows.draw(500, 0, step).ravel() for step in range(40)])
    seen = np.bincount(drawn, minlength=300) / len(drawn) * 300
    assert seen.min() > 0.7 and seen.max() < 2.1
    np.testing.assert_allclose(seen[[0, 59, 60, 84, 85, 299]], np.median(seen), rtol=0.15)


def test_the_last_frame_is_learned_from_as_often_as_others_when_a_window_has_a_lead() -> None:
    windows = Windows([(0, 100), (100, 132), (132, 400)], 32, loss_frames=20)
    learned = np.concatenate([windows.draw(500, 0, step)[:, -20:].ravel() for step in range(80)])
    seen = np.bincount(learned, minlength=400) / len(learned) * 400
    np.testing.assert_allclose(seen[[12, 99, 112, 131, 144, 399]], np.median(seen[40:60]), rtol=0.2)


def test_clips_are_drawn_by_what_happens_in_them() -> None:
    change = np.zeros(1000, np.float32)
    change[:500] = 1.0
    change[700] = 50.0
    last = Windows([(0, 1000)], 20, change).draw(400, 0, 0, 0.5)[:, -1]
    assert np.isin(last[:200], np.arange(700, 708)).mean() > 0.03  # one frame in a thousand, but it holds a tenth
    assert (last[:200] < 708).all() and (last[200:] > 708).any()


def test_clips_are_drawn_by_unusual_rewards(recording: Recording, clips: LatentDataset) -> None:
    clips.rewards = np.full(len(recording), 4.0, np.float32)
    clips.rewards[[100, 433]] = 0.0
    happened = clips.unusual_rewards()
    assert np.flatnonzero(happened).tolist() == [101, 434]  # the frames that came with them
    last = Windows(recording.episodes("train"), 12, happened).draw(50, 0, 0, 1.0)[:, -1]
    assert np.isin(last, [*range(101, 109), *range(434, 442)]).all() and len(set(last)) > 6


def test_clips_are_drawn_so_that_all_actions_do_something_equally_often(clips: LatentDataset) -> None:
    clips.actions = np.where(clips.actions < 0, -1, 0)
    clips.actions[[100, 433, 434]] = 2, 1, 1
    clips.latents = np.random.default_rng(0).standard_normal(clips.latents.shape).astype(np.float16)
    clips.latents[200:251] = clips.latents[200]  # nothing happens there
    rarity = clips.rare_actions()
    led = np.concatenate([[-1], clips.actions[:-1]])
    assert [rarity[led == action].sum() for action in (0, 1, 2)] == pytest.approx([1, 1, 1])
    assert (rarity[led < 0] == 0).all() and rarity[101] == 1
    assert (rarity[201:251] == 0).all() and rarity[200] > 0 and rarity[251] > 0


def test_clips_are_drawn_where_a_thing_moves_in_the_hidden_layer(clips: LatentDataset) -> None:
    half = clips.latents.shape[1] // 2
    clips.latents = np.zeros(clips.latents.shape, np.float16)
    clips.latents[100:, half:, 1, 2] = 1.0  # something comes, and stays
    clips.latents[50:60, :half, 1, 2] = 1.0  # in sight alone
    clips.latents[200, half:, 0, 0] = 0.01  # hardly
    clips.latents[300:, half:] = 2.0  # the view moves
    first = clips.begins == np.arange(len(clips.begins))
    clips.latents[np.flatnonzero(first)[1] :, half:, 1, 1] += 1.0  # another episode has another room
    assert np.flatnonzero(clips.moved_hidden()).tolist() == [100]


def test_kinds_of_cells_are_what_they_change_to(clips: LatentDataset) -> None:
    rng = np.random.default_rng(0)
    count, channels, h, w = clips.latents.shape
    kinds = 3 * rng.standard_normal((3, channels))
    kinds[0] = 7.0  # most cells are of this kind, and stay
    chosen = np.where(rng.random((count, h, w)) < 0.1, rng.integers(1, 3, (count, h, w)), 0)
    clips.latents = np.moveaxis(kinds[chosen] + 0.05 * rng.standard_normal((count, h, w, channels)), -1, 1)
    found = clips.kinds_of_cells(3, seed=0)
    distance = np.abs(found[:, None] - kinds).max(-1)
    assert sorted(distance.argmin(1)) == [0, 1, 2] and distance.min(1).max() < 0.1
    clips.latents = np.zeros_like(clips.latents)
    with pytest.raises(WorldsimError, match="nothing changes"):
        clips.kinds_of_cells(3, seed=0)
