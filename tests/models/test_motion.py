"""The motion prior: it follows what moves, also where that turns back or is pushed, and continues what repeats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from worldsim.data.latents import LatentDataset
from worldsim.data.recording import Episode, Recording, RecordingWriter
from worldsim.device import policy_of
from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import Autoencoder, AutoencoderConfig
from worldsim.models.motion import (
    PAST,
    MotionPrior,
    Recalled,
    aligned,
    background,
    candidates,
    mix,
    recent,
    seen_candidates,
)
from worldsim.spec import Action, WorldSpec
from worldsim.train.checkpoint import read
from worldsim.train.draws import Draws
from worldsim.train.motion import MotionTraining, motion_rollout, run_length, train_motion
from worldsim.train.motion_rollouts import MotionRollouts

SPEC = WorldSpec("ball", 32, 64, 10, 1, (Action("rest"), Action("kick", ("kick",))), {"kick": ("Space",)})
AUTOENCODER = AutoencoderConfig(channels=4, widths=(16, 16), blocks=1)
FRAMES, COLUMNS = 60, 8
BACK = 12


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    """Ten episodes of black frames, kicked now and then."""
    writer = RecordingWriter(tmp_path / "ball", SPEC)
    for seed in range(10):
        none, actions = np.zeros(FRAMES), kicks(seed)
        actions[-1] = -1
        frames = np.zeros((FRAMES, 32, 64, 3), np.uint8)
        writer.append(Episode(frames, actions, none, none.astype(bool), np.zeros((FRAMES, 0), np.float32)))
    return Recording(tmp_path / "ball")


def unmoved(frames: torch.Tensor) -> torch.Tensor:
    """Where the view is in frames `[B, F, C, h, w]` if it never moves: `[B, F]`."""
    return torch.zeros(frames.shape[:2])


def kicks(seed: int) -> np.ndarray:
    """Actions int64 `[FRAMES]`, one in nine of them a kick, never two in a row."""
    kicked = np.random.default_rng(1000 + seed).random(FRAMES) < 0.125
    kicked[1:] &= ~kicked[:-1]
    return kicked.astype(np.int64)


def balls(seed: int) -> np.ndarray:
    """Latents `[FRAMES, 4, 4, COLUMNS]` of a ball that stands or goes a cell a frame, and comes back before the edge;
    and of another, in the row above, that stands until it is kicked, and then is a cell further on, if there is one."""
    inner = COLUMNS - 2
    rng = np.random.default_rng(seed)
    latents = np.zeros((FRAMES, 4, 4, COLUMNS), np.float32)
    at, step, kind = rng.integers(2 * inner), rng.choice([-1, 0, 1]), rng.choice([-1, 1], (2, 4))
    kicked = np.minimum(rng.integers(4) + np.concatenate([[0], np.cumsum(kicks(seed))[:-1]]), inner - 1)
    for t, frame in enumerate(latents):
        for row, x in ((2, at + step * t), (1, kicked[t])):
            x %= 2 * inner
            frame[:, row, 1 + min(x, 2 * inner - 1 - x)] = kind[row - 1]
    return latents


def test_rollouts_become_longer() -> None:
    lengths = [run_length(step / 100, 16) for step in range(100)]
    assert lengths == sorted(lengths) and lengths[0] == 1 and set(lengths[50:]) == {16}


def test_it_follows_what_moves_and_what_is_pushed_and_leaves_what_stands(recording: Recording, tmp_path: Path) -> None:
    clips = LatentDataset(recording, Autoencoder(AUTOENCODER), tmp_path)
    clips.latents = np.concatenate([balls(seed) for seed in range(10)])
    training = MotionTraining(steps=500, batch=8, lr=5e-3, past=BACK, length=4, lead=6)
    torch.manual_seed(0)
    prior = MotionPrior(4, 24, actions=2)
    train_motion(prior, recording, clips, tmp_path, BACK, training)
    held_out = range(100, 120)
    latents = torch.from_numpy(np.stack([balls(seed) for seed in held_out]))[:, : BACK + 10]
    actions = torch.from_numpy(np.stack([kicks(seed) for seed in held_out]))
    with torch.no_grad():
        made, _ = motion_rollout(prior, latents, actions, unmoved(latents), BACK, BACK)
        no_kick, _ = motion_rollout(prior, latents, 0 * actions, unmoved(latents), BACK, BACK)
    none, true = latents[:, BACK - 1 : BACK], latents[:, BACK:]
    error, unkicked, still = ((x - true).square().sum() for x in (made[:, BACK:], no_kick[:, BACK:], none))
    assert error < 0.2 * still < unkicked, (error, unkicked, still)
    few = latents[:, BACK - PAST - 1 :]  # too few frames to have seen both walls
    with torch.no_grad():
        made, _ = motion_rollout(prior, few, actions[:, BACK - PAST - 1 :], unmoved(few), PAST + 1, BACK)
    error = (made[:, PAST + 1 :] - true).square().sum()
    assert error < 0.1 * still, (error, still)
    torch.testing.assert_close(read(tmp_path / "motion.checkpoint")[0]["average.out.weight"], prior.out.weight.detach())


def test_rollouts_continue_from_step_to_step(recording: Recording, tmp_path: Path) -> None:
    clips, known, back, length = LatentDataset(recording, Autoencoder(AUTOENCODER), tmp_path), 6, 8, 4
    numbers = np.arange(10 * FRAMES, dtype=np.float32)[:, None, None, None]  # each frame is its number, and what is
    clips.latents = np.concatenate([numbers, numbers + 1000], axis=1)  # behind it that and a thousand
    runs = MotionRollouts(clips, 1, recording.episodes("train"), 3, known, back, length, noise=0.0, seed=0)
    kept, ages = torch.zeros(3, back + 1, 2, 1, 1), []
    for step in range(100):
        shown, true, actions, _ = runs.go_on(draws := Draws(0, step, 3, 0.0, policy_of(torch.device("cpu"))))
        number = true[:, :, 0, 0, 0].long()
        assert (number // FRAMES == number[:, :1] // FRAMES).all()
        torch.testing.assert_close(actions, torch.from_numpy(clips.actions)[number])
        torch.testing.assert_close(shown[:, back + 1 :], true[:, back + 1 :])
        age = number[:, back + 1] % FRAMES
        begun = age == known
        torch.testing.assert_close(shown[~begun, : back + 1], kept[~begun])
        assert (age[~begun] == ages[-1][~begun] + length).all() if ages else begun.all()
        torch.testing.assert_close(shown[begun, : back + 1], true[begun, : back + 1, :1].expand(-1, -1, 2, -1, -1))
        runs.keep(shown + 0.5, draws)
        kept = (shown + 0.5)[:, -back - 1 :]
        ages.append(age)
    assert torch.stack(ages).max() > FRAMES - 2 * length  # to the ends of episodes
    with pytest.raises(WorldsimError, match="no episode is as long as a rollout of 64 frames .the longest has 60."):
        MotionRollouts(clips, 1, recording.episodes("train"), 3, FRAMES, back, length, noise=0.0, seed=0)


def test_a_penalty_on_mixed_cells_makes_it_decide(recording: Recording, tmp_path: Path) -> None:
    clips, undecided = LatentDataset(recording, Autoencoder(AUTOENCODER), tmp_path), []
    clips.latents = np.concatenate([balls(seed) for seed in range(10)])
    for weight in (0.0, 1.0):
        training = MotionTraining(steps=60, batch=8, lr=5e-3, past=BACK, length=2, lead=0, variance_weight=weight)
        torch.manual_seed(0)
        prior = MotionPrior(4, 24, actions=2)
        train_motion(prior, recording, clips, tmp_path / str(weight), BACK, training)
        ball, actions = torch.from_numpy(balls(100))[None], torch.from_numpy(kicks(100))[None]
        with torch.no_grad():
            undecided.append(motion_rollout(prior, ball[:, : BACK + 10], actions, unmoved(ball), BACK, BACK)[1].mean())
    assert undecided[1] < 0.5 * undecided[0]


def test_a_recording_in_which_nothing_moves_is_refused(recording: Recording, tmp_path: Path) -> None:
    clips = LatentDataset(recording, Autoencoder(AUTOENCODER), tmp_path)
    clips.latents = np.zeros((10 * FRAMES, 4, 4, COLUMNS), np.float32)
    with pytest.raises(WorldsimError, match="nothing moves in it; train without motion"):
        train_motion(MotionPrior(4, 8, 2), recording, clips, tmp_path, BACK, MotionTraining(steps=1))


def known(
    frames: torch.Tensor, columns: torch.Tensor | None = None
) -> tuple[list[torch.Tensor], Recalled, torch.Tensor]:
    """What a motion prior knows of frames `[B, P + 1, C, h, w]`, in a view that never moves if no columns are given."""
    last, in_view = aligned(frames, unmoved(frames) if columns is None else columns)
    return recent(last, in_view), MotionPrior(frames.shape[2], 8, 2).past(last, in_view), background(last)


def with_random_weights(prior: MotionPrior, scale: float = 0.3) -> MotionPrior:
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in prior.parameters():
            if weight.ndim:
                weight.normal_(std=scale)
    return prior


@pytest.mark.parametrize(
    ("name", "right", "down"),
    [("now -2", -2, 0), ("now +1", 1, 0), ("now +0", 0, 0), ("now down", 0, 1), ("now up", 0, -1)],
)
def test_a_cell_may_be_copied_from_its_neighbours(name: str, right: int, down: int) -> None:
    frames = torch.randn(2, PAST, 4, 3, COLUMNS)
    inside = (..., slice(max(down, 0), 3 + min(down, 0)), slice(max(right, 0), COLUMNS + min(right, 0)))
    for layer in (candidates(*known(frames)), seen_candidates(frames[:, -1], frames[:, 0])):
        expected = frames[:, -1].roll((down, right), (-2, -1))
        torch.testing.assert_close(layer[name][inside], expected[inside])


def test_what_is_in_front_may_uncover_what_is_behind() -> None:
    frames = torch.randn(2, PAST, 4, 3, COLUMNS)
    torch.testing.assert_close(seen_candidates(frames[:, -1], frames[:, 0])["uncovered"], frames[:, 0])


@pytest.mark.parametrize(
    ("name", "age", "right", "down"),
    [
        ("static", 1, 0, 9),  # it is gone
        ("thing -2", 1, -2, 0),
        ("thing -1", 1, -1, 0),
        ("thing +1", 1, 1, 0),
        ("thing +2", 1, 2, 0),
        ("thing before -1", 2, -1, 0),
        ("thing before +1", 2, 1, 0),
        ("thing down", 1, 0, 1),
        ("thing up", 1, 0, -1),
    ],
)
def test_a_thing_moves_over_what_it_never_was_over(name: str, age: int, right: int, down: int) -> None:
    room, thing = torch.randn(4, 5, COLUMNS), torch.randn(4)
    frames = room.repeat(1, 13, 1, 1, 1)
    for back, column in ((1, 4), (2, 3), (3, 2)):
        frames[0, -back, :, 2, column] += thing
    expected = room.clone()
    if down < 5:
        expected[:, 2 + down, {1: 4, 2: 3}[age] + right] += thing
    torch.testing.assert_close(candidates(*known(frames))[name][0], expected)


def test_every_candidate_has_a_gate() -> None:
    frames = torch.randn(1, PAST, 4, 3, COLUMNS)
    for layers in (1, 2):
        made = MotionPrior(4, 8, 2, layers=layers)(
            frames.repeat(1, 1, layers, 1, 1), torch.zeros(1).long(), unmoved(frames)
        )
        assert made.shape == (1, 4 * layers, 3, COLUMNS)  # of as many gates as candidates, or it would be an error


def test_it_sees_the_whole_picture() -> None:
    prior, frames = with_random_weights(MotionPrior(4, 8, 2)), torch.randn(1, PAST, 4, 2, 20)
    other = frames.clone()
    other[:, -1, ..., 0] += 1
    with torch.no_grad():
        made, changed = (prior(x, torch.zeros(1).long(), unmoved(x)) for x in (frames, other))
    assert (made != changed).flatten(0, 2).any(0).nonzero().max() == 19


def only(*chosen: str, sources: dict[str, torch.Tensor]) -> torch.Tensor:
    """Gates that open for these candidates alone, and for nothing if none is given."""
    some = next(iter(sources.values()))
    gates = torch.zeros(len(some), len(sources) + 1, *some.shape[-2:])
    gates[:, [list(sources).index(name) for name in chosen] or [-1]] = 50.0
    return gates


def test_nothing_is_added_to_what_stays_as_it_is() -> None:
    sources = candidates(*known(torch.randn(2, 1, 4, 3, COLUMNS).repeat(1, PAST, 1, 1, 1)))
    change = torch.full((2, 4, 3, COLUMNS), 3.0)
    for staying in ("now +0", "again"):  # what is there, and what came after it
        torch.testing.assert_close(mix(change, only(staying, sources=sources), sources)[0], sources["now +0"])
    moved = mix(change, only("now +1", sources=sources), sources)[0] - sources["now +1"]
    torch.testing.assert_close(moved[..., 1:], change[..., 1:])
    torch.testing.assert_close(mix(change, only(sources=sources), sources)[0], change)


def test_it_is_undecided_where_unlike_places_are_mixed() -> None:
    frames = torch.zeros(1, PAST, 4, 3, COLUMNS)
    frames[..., 3:] = 1.0  # a step from 0 to 1 between two columns
    sources = candidates(*known(frames))
    none = torch.zeros(1, 4, 3, COLUMNS)
    one, two = (mix(none, only(*names, sources=sources), sources) for names in (("now +0",), ("now +0", "now +1")))
    torch.testing.assert_close(one[1], torch.zeros(1, 1, 3, COLUMNS))
    torch.testing.assert_close(two[0][0, 0, 0], torch.tensor([0.0, 0, 0, 0.5, 1, 1, 1, 1]))
    torch.testing.assert_close(two[1][0, 0, 0], torch.tensor([0.0, 0, 0, 0.25, 0, 0, 0, 0]))


def test_a_rollout_that_diverges_is_clipped() -> None:
    frames, actions = torch.randn(1, PAST + 3, 2, 3, COLUMNS), torch.zeros(1, PAST + 3).long()
    largest = {}
    for clip in (0.0, 5.0):
        prior = with_random_weights(MotionPrior(2, 8, 2, latent_clip=clip), scale=1.0)
        with torch.no_grad():
            made, _ = motion_rollout(prior, frames, actions, unmoved(frames), PAST, PAST)
        largest[clip] = made[..., 1:-1].abs().max()
    assert largest[5.0] <= 5.0 < 100 < largest[0.0]


def test_what_comes_into_view_is_as_recorded_in_a_rollout() -> None:
    prior, frames = MotionPrior(2, 8, 2, layers=2), torch.randn(1, PAST + 3, 4, 3, COLUMNS)
    with torch.no_grad():
        made, _ = motion_rollout(prior, frames, torch.zeros(1, PAST + 3).long(), unmoved(frames), PAST, PAST)
    torch.testing.assert_close(made[:, :PAST], frames[:, :PAST])
    torch.testing.assert_close(made[..., [0, -1]], frames[..., [0, -1]])
    assert (made[:, PAST:, ..., 1:-1] - frames[:, PAST:, ..., 1:-1]).square().mean() > 0.5  # its own, of no training


def test_before_the_first_known_frame_of_a_rollout_all_was_as_in_that() -> None:
    prior, frames = with_random_weights(MotionPrior(2, 8, 2)), torch.randn(1, PAST + 1, 2, 3, COLUMNS)
    whole = torch.cat([frames[:, :1].expand(-1, BACK, -1, -1, -1), frames], dim=1)
    with torch.no_grad():
        short, long = (
            motion_rollout(prior, x, torch.zeros(1, x.shape[1]).long(), unmoved(x), x.shape[1] - 1, BACK)[0][:, -1]
            for x in (frames, whole)
        )
    torch.testing.assert_close(short, long)


def test_what_happened_before_is_recalled_forwards_and_backwards() -> None:
    frames = torch.randn(1, 6, 4, 4, COLUMNS)

    def recalled(order: list[int]) -> Recalled:
        return known(frames[:, order])[1]

    forwards = recalled([0, 1, 2, 3, 4, 5, 0, 1])  # two came after one when it came after nought
    assert (forwards.again - frames[:, 2]).square().mean() < 0.01 * frames.square().mean()
    assert forwards.again_misfit.max() < -1.2
    backwards = recalled([0, 1, 2, 3, 4, 3])
    assert (backwards.back - frames[:, 2]).square().mean() < 0.01 * frames.square().mean()
    assert backwards.back_misfit.max() < -1.2
    never = recalled([0, 1, 2, 3, 4, 5])
    assert min(never.again_misfit.min(), never.back_misfit.min()) > 0


def test_the_past_is_seen_from_where_the_view_is_now() -> None:
    room = torch.randn(2, 5, 4, 3, COLUMNS + 9)  # five moments of a room wider than the view
    moved = torch.tensor([[0, 2, 3, 3, 2], [4, 4, 4, 5, 9]]).float()
    columns = torch.arange(COLUMNS)
    seen = room.gather(-1, (columns + moved[:, :, None].long())[:, :, None, None].expand(-1, -1, 4, 3, -1))
    frames, in_view = aligned(seen, moved + 100)
    assert in_view[:, :, 0, 0].sum(-1).tolist() == [[6, 8, 7, 7, 8], [3, 3, 3, 4, 8]]
    here = torch.stack([r[..., x : x + COLUMNS] for r, x in zip(room, moved[:, -1].long().tolist(), strict=True)])
    torch.testing.assert_close(frames, torch.where(in_view, here, seen[:, -1:]))


def test_the_frame_before_is_copied_from_where_it_is_seen_now() -> None:
    room = torch.randn(1, PAST, 4, 3, COLUMNS + 2)
    frames = torch.cat([room[:, :-1, ..., :COLUMNS], room[:, -1:, ..., 2:]], dim=1)  # the view moved two cells
    made = candidates(*known(frames, torch.tensor([[0.0] * (PAST - 1) + [2]])))["before +0"]
    expected = torch.cat([room[:, -2, ..., 2:COLUMNS], room[:, -1, ..., COLUMNS:]], dim=-1)  # or what is there now
    torch.testing.assert_close(made, expected)
