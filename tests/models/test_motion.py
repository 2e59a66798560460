"""The motion prior: what moves is followed, also where it turns back or is pushed; and what was so before goes on as it
did."""

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
from worldsim.models.config import PAST
from worldsim.models.motion import AROUND, LAYERS, WIDE, MotionPrior, aligned
from worldsim.spec import Action, WorldSpec
from worldsim.train.checkpoint import read
from worldsim.train.draws import Draws
from worldsim.train.motion import MotionTraining, motion_rollout, run_length, train_motion
from worldsim.train.motion_rollouts import MotionRollouts

SPEC = WorldSpec("ball", 32, 64, 10, 1, (Action("rest"), Action("kick", ("kick",))), {"kick": ("Space",)})
TOKENIZER = AutoencoderConfig(channels=4, widths=(16, 16), blocks=1)
FRAMES, COLUMNS = 60, 8
SEEN = AROUND[1] + LAYERS + 2  # columns each way, without the dilated layers
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


def test_runs_become_longer() -> None:
    lengths = [run_length(step / 100, 16) for step in range(100)]
    assert lengths == sorted(lengths) and lengths[0] == 1 and set(lengths[50:]) == {16}


def test_it_follows_what_moves_and_what_is_pushed_and_leaves_what_stands(recording: Recording, tmp_path: Path) -> None:
    clips = LatentDataset(recording, Autoencoder(TOKENIZER), tmp_path)
    clips.latents = np.concatenate([balls(seed) for seed in range(10)])
    training = MotionTraining(steps=500, batch=8, lr=5e-3, past=BACK, length=4, lead=6)
    torch.manual_seed(0)
    inertia = MotionPrior(4, 24, actions=2)
    train_motion(inertia, recording, clips, tmp_path, BACK, training)
    held_out = range(100, 120)
    latents = torch.from_numpy(np.stack([balls(seed) for seed in held_out]))[:, : BACK + 10]
    actions = torch.from_numpy(np.stack([kicks(seed) for seed in held_out]))
    with torch.no_grad():
        made, _ = motion_rollout(inertia, latents, actions, unmoved(latents), BACK, BACK)
        no_kick, _ = motion_rollout(inertia, latents, 0 * actions, unmoved(latents), BACK, BACK)
    none, true = latents[:, BACK - 1 : BACK], latents[:, BACK:]
    error, unkicked, still = ((x - true).square().sum() for x in (made[:, BACK:], no_kick[:, BACK:], none))
    assert error < 0.2 * still < unkicked, (error, unkicked, still)
    few = latents[:, BACK - PAST - 1 :]  # too few frames to have seen both walls
    with torch.no_grad():
        made, _ = motion_rollout(inertia, few, actions[:, BACK - PAST - 1 :], unmoved(few), PAST + 1, BACK)
    error = (made[:, PAST + 1 :] - true).square().sum()
    assert error < 0.1 * still, (error, still)
    torch.testing.assert_close(
        read(tmp_path / "motion.checkpoint")[0]["average.out.weight"], inertia.out.weight.detach()
    )


def test_runs_of_its_own_go_on_from_step_to_step(recording: Recording, tmp_path: Path) -> None:
    clips, known, back, length = LatentDataset(recording, Autoencoder(TOKENIZER), tmp_path), 6, 8, 4
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
    with pytest.raises(WorldsimError, match="no episode is as long as a run of 64 frames .the longest has 60."):
        MotionRollouts(clips, 1, recording.episodes("train"), 3, FRAMES, back, length, noise=0.0, seed=0)


def test_what_a_cell_is_mixed_of_counts(recording: Recording, tmp_path: Path) -> None:
    clips, undecided = LatentDataset(recording, Autoencoder(TOKENIZER), tmp_path), []
    clips.latents = np.concatenate([balls(seed) for seed in range(10)])
    for weight in (0.0, 1.0):
        training = MotionTraining(steps=60, batch=8, lr=5e-3, past=BACK, length=2, lead=0, variance_weight=weight)
        torch.manual_seed(0)
        inertia = MotionPrior(4, 24, actions=2)
        train_motion(inertia, recording, clips, tmp_path / str(weight), BACK, training)
        ball, actions = torch.from_numpy(balls(100))[None], torch.from_numpy(kicks(100))[None]
        with torch.no_grad():
            undecided.append(
                motion_rollout(inertia, ball[:, : BACK + 10], actions, unmoved(ball), BACK, BACK)[1].mean()
            )
    assert undecided[1] < 0.5 * undecided[0]


def test_a_recording_in_which_nothing_moves_is_refused(recording: Recording, tmp_path: Path) -> None:
    clips = LatentDataset(recording, Autoencoder(TOKENIZER), tmp_path)
    clips.latents = np.zeros((10 * FRAMES, 4, 4, COLUMNS), np.float32)
    with pytest.raises(WorldsimError, match="nothing moves in it; train without motion"):
        train_motion(MotionPrior(4, 8, 2), recording, clips, tmp_path, BACK, MotionTraining(steps=1))


@pytest.mark.parametrize("step", [-2, -1, 1, 2])
def test_a_cell_may_be_taken_from_beside(step: int) -> None:
    inertia = MotionPrior(4, 8, 2)
    with torch.no_grad():
        inertia.out.bias[4 + 2 + step] = 50.0
    past = torch.randn(2, PAST, 4, 3, COLUMNS)
    moved = inertia(past, torch.zeros(2).long(), unmoved(past))
    inside = slice(max(step, 0), COLUMNS + min(step, 0))
    torch.testing.assert_close(moved[..., inside], past[:, -1].roll(step, -1)[..., inside])


@pytest.mark.parametrize(("gate", "down"), [(8, 1), (9, -1)])
def test_or_from_above_and_below(gate: int, down: int) -> None:
    inertia = MotionPrior(4, 8, 2)
    with torch.no_grad():
        inertia.out.bias[4 + gate] = 50.0
    past = torch.randn(2, PAST, 4, 3, COLUMNS)
    moved = inertia(past, torch.zeros(2).long(), unmoved(past))
    inside = slice(max(down, 0), 3 + min(down, 0))
    torch.testing.assert_close(moved[..., inside, :], past[:, -1].roll(down, -2)[..., inside, :])


@pytest.mark.parametrize(
    ("gate", "age", "right", "down"),
    [
        (12, 1, 0, 9),  # it is gone
        (13, 1, -2, 0),
        (14, 1, -1, 0),
        (15, 1, 1, 0),
        (16, 1, 2, 0),
        (17, 2, -1, 0),
        (18, 2, 1, 0),
        (19, 1, 0, 1),
        (20, 1, 0, -1),
    ],
)
def test_a_thing_moves_over_what_it_never_was_over(gate: int, age: int, right: int, down: int) -> None:
    inertia = MotionPrior(4, 8, 2)
    with torch.no_grad():
        inertia.out.bias[4 + gate] = 50.0
    room, thing = torch.randn(4, 5, COLUMNS), torch.randn(4)
    frames = room.repeat(1, 13, 1, 1, 1)
    for back, column in ((1, 4), (2, 3), (3, 2)):
        frames[0, -back, :, 2, column] += thing
    expected = room.clone()
    if down < 5:
        expected[:, 2 + down, {1: 4, 2: 3}[age] + right] += thing
    torch.testing.assert_close(inertia(frames, torch.zeros(1).long(), unmoved(frames))[0], expected)


@pytest.mark.parametrize(("gate", "right", "down"), [(1, -1, 0), (3, 1, 0), (5, 0, 1), (6, 0, -1)])
def test_what_is_seen_is_taken_from_beside_or_from_behind(gate: int, right: int, down: int) -> None:
    inertia, past = MotionPrior(4, 8, 2, layers=2), torch.randn(2, PAST, 8, 3, COLUMNS)
    seen, actions = 4 + 22 + 4, torch.zeros(2).long()  # of the second picture change and gates, of the first change
    with torch.no_grad():
        inertia.out.bias[seen + gate] = 50.0
        moved = inertia(past, actions, unmoved(past))[:, :4]
        inertia.out.bias[[4 + 2, seen + 7]] = 100.0
        uncovered = inertia(past, actions, unmoved(past))
    inside = (..., slice(max(down, 0), 3 + min(down, 0)), slice(max(right, 0), COLUMNS + min(right, 0)))
    torch.testing.assert_close(moved[inside], past[:, -1, :4].roll((down, right), (-2, -1))[inside])
    torch.testing.assert_close(uncovered, past[:, -1, 4:].repeat(1, 2, 1, 1))


@pytest.mark.parametrize(
    ("part", "least", "most"), [(None, 1, SEEN), ("wide", SEEN + 1, SEEN + sum(WIDE)), ("whole", 19, 19)]
)
def test_what_is_some_cells_away_is_seen(part: str | None, least: int, most: int) -> None:
    inertia, frames = MotionPrior(4, 8, 2), torch.randn(1, PAST, 4, 2, 20)
    other = frames.clone()
    other[:, -1, ..., 0] += 1
    with torch.no_grad():
        for layer in (inertia.out, *([getattr(inertia, part)] if part else [])):
            for weight in layer.parameters():
                weight.normal_()
        made, told = (inertia(x, torch.zeros(1).long(), unmoved(x)) for x in (frames, other))
    assert least <= (made != told).flatten(0, 2).any(0).nonzero().max() <= most


def test_nothing_is_added_to_what_stays_as_it_is() -> None:
    torch.manual_seed(0)
    inertia, past = MotionPrior(4, 8, 2, layers=2), torch.randn(1, 1, 8, 3, COLUMNS).repeat(2, PAST, 1, 1, 1)
    actions, change, gates = torch.zeros(2).long(), torch.tensor(3.0), (4, 4 + 22 + 4)  # of the last picture, the first
    with torch.no_grad():
        inertia.out.bias[[0, 1, 2, 3, 26, 27, 28, 29]] = change
        for staying in (2, 10):  # what is there, and what came after it
            inertia.out.bias[4 : 4 + 22] = 0.0
            inertia.out.bias[[gates[0] + staying, gates[1] + 2]] = 50.0
            torch.testing.assert_close(inertia(past, actions, unmoved(past)), past[:, -1])
        inertia.out.bias[[gates[0] + 3, gates[1] + 1]] = 100.0  # from beside
        moved = inertia(past, actions, unmoved(past))
        inertia.out.bias[[gates[0] + 21, gates[1] + 8]] = 150.0  # from nowhere
        made = inertia(past, actions, unmoved(past))
    beside = torch.cat([past[:, -1, :4].roll(-1, -1), past[:, -1, 4:].roll(1, -1)], dim=1)
    torch.testing.assert_close((moved - beside)[..., 1:-1], change.expand(2, 8, 3, COLUMNS - 2))
    torch.testing.assert_close(made, change.expand(2, 8, 3, COLUMNS))


def test_it_is_undecided_where_unlike_places_are_mixed() -> None:
    inertia, past = MotionPrior(4, 8, 2), torch.zeros(1, PAST, 4, 3, COLUMNS)
    past[..., 3:] = 1.0  # a step from 0 to 1 between two columns
    told = {}
    for name, gates in {"one": (4 + 2,), "two": (4 + 2, 4 + 3)}.items():  # what is there, and what is left of it
        with torch.no_grad():
            inertia.out.bias.zero_()
            inertia.out.bias[list(gates)] = 50.0
            told[name] = inertia.predict(past, torch.zeros(1).long(), unmoved(past))
    frame, spread = (x[0].amax(0) for x in told["two"])
    torch.testing.assert_close(told["one"][1], torch.zeros(1, 1, 3, COLUMNS))
    torch.testing.assert_close(frame[0], torch.tensor([0.0, 0, 0, 0.5, 1, 1, 1, 1]))
    torch.testing.assert_close(spread[0], torch.tensor([0.0, 0, 0, 0.25, 0, 0, 0, 0]))


def test_a_run_that_is_lost_does_not_grow_without_end() -> None:
    frames, actions = torch.randn(1, PAST + 3, 2, 3, COLUMNS), torch.zeros(1, PAST + 3).long()
    for largest, most in ((0.0, 3e4), (5.0, 5.0)):
        inertia = MotionPrior(2, 8, 2, latent_clip=largest)
        with torch.no_grad():
            inertia.out.bias[:2] = 1e4
            made, _ = motion_rollout(inertia, frames, actions, unmoved(frames), PAST, PAST)
        assert 0.4 * most < made[..., 1:-1].max() <= most


def test_what_comes_into_view_is_as_recorded_in_a_run_of_its_own() -> None:
    inertia, frames = MotionPrior(2, 8, 2, layers=2), torch.randn(1, PAST + 3, 4, 3, COLUMNS)
    with torch.no_grad():
        made, _ = motion_rollout(inertia, frames, torch.zeros(1, PAST + 3).long(), unmoved(frames), PAST, PAST)
    torch.testing.assert_close(made[:, :PAST], frames[:, :PAST])
    torch.testing.assert_close(made[..., [0, -1]], frames[..., [0, -1]])
    assert (made[:, PAST:, ..., 1:-1] - frames[:, PAST:, ..., 1:-1]).square().mean() > 0.5  # its own, of no training


def test_before_the_first_known_frame_of_a_run_it_was_as_in_that() -> None:
    inertia, frames = MotionPrior(2, 8, 2), torch.randn(1, PAST + 1, 2, 3, COLUMNS)
    whole = torch.cat([frames[:, :1].expand(-1, BACK, -1, -1, -1), frames], dim=1)
    with torch.no_grad():
        inertia.out.bias[2 + 12] = 50.0  # what stands
        made, told = (
            motion_rollout(inertia, x, torch.zeros(1, x.shape[1]).long(), unmoved(x), x.shape[1] - 1, BACK)[0][:, -1]
            for x in (frames, whole)
        )
    torch.testing.assert_close(made, told)
    torch.testing.assert_close(made[..., 1:-1], frames[:, 0, ..., 1:-1])


def test_what_was_so_before_goes_on_as_it_did_and_back_the_way_it_came() -> None:
    inertia = MotionPrior(4, 8, 2)
    with torch.no_grad():
        inertia.sharp.fill_(8.0)
    frames = torch.randn(1, 6, 4, 4, COLUMNS)
    back_and_forth = frames[:, [0, 1, 2, 3, 4, 5, 0, 1]]  # two came after one when it came after nought
    again, misfit, _, _ = inertia.past(*aligned(back_and_forth, unmoved(back_and_forth)))
    torch.testing.assert_close(again, frames[:, 2], atol=1e-4, rtol=0)
    assert misfit.max() < -1.2
    there_and_back = frames[:, [0, 1, 2, 3, 4, 3]]
    _, _, back, misfit = inertia.past(*aligned(there_and_back, unmoved(there_and_back)))
    torch.testing.assert_close(back, frames[:, 2], atol=1e-4, rtol=0)
    assert misfit.max() < -1.2
    never = inertia.past(*aligned(frames, unmoved(frames)))
    assert min(never[1].min(), never[3].min()) > 0


def test_the_past_is_seen_from_where_the_view_is_now() -> None:
    room = torch.randn(2, 5, 4, 3, COLUMNS + 9)  # five moments of a room wider than the view
    places = torch.tensor([[0, 2, 3, 3, 2], [4, 4, 4, 5, 9]]).float()
    columns = torch.arange(COLUMNS)
    seen = room.gather(-1, (columns + places[:, :, None].long())[:, :, None, None].expand(-1, -1, 4, 3, -1))
    frames, in_view = aligned(seen, places + 100)
    assert in_view[:, :, 0, 0].sum(-1).tolist() == [[6, 8, 7, 7, 8], [3, 3, 3, 4, 8]]
    here = torch.stack([r[..., x : x + COLUMNS] for r, x in zip(room, places[:, -1].long().tolist(), strict=True)])
    torch.testing.assert_close(frames, torch.where(in_view, here, seen[:, -1:]))


def test_the_last_frame_is_copied_from_where_it_is_seen_now() -> None:
    inertia, room = MotionPrior(4, 8, 2), torch.randn(1, PAST, 4, 3, COLUMNS + 2)
    with torch.no_grad():
        inertia.out.bias[4 + 5 + 1] = 50.0  # the frame before, in its place
    seen = torch.cat([room[:, :-1, ..., :COLUMNS], room[:, -1:, ..., 2:]], dim=1)
    made = inertia(seen, torch.zeros(1).long(), torch.tensor([[0.0] * (PAST - 1) + [2]]))
    expected = torch.cat([room[:, -2, ..., 2:COLUMNS], room[:, -1, ..., COLUMNS:]], dim=-1)  # or what is there now
    torch.testing.assert_close(made, expected)
