"""Train the motion prior: how what is there goes on, frame after frame of its own, with a gradient through the last of
them.

B clips, T frames, C x h x w latents of one picture.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.data.latents import LatentDataset
from worldsim.data.recording import Recording
from worldsim.data.windows import Windows
from worldsim.errors import WorldsimError
from worldsim.models.motion import PAST, MotionPrior
from worldsim.train.motion_rollouts import MotionRollouts
from worldsim.train.trainer import Loop, step_generator, with_peaks


@dataclasses.dataclass(frozen=True)
class MotionTraining:
    """Settings of the training.

    Attributes:
        steps: optimizer steps. batch: clips a step. lr: peak learning rate of AdamW.
        past: frames that are known before those of its own.
        short: batches at once in every second step, of clips in which one frame follows on as few as PAST + 1: how a
            thing turns at a wall where it never was is not learned where it was seen before and can be copied.
        length: frames of its own in a row that have a gradient, from 1 at first to this many in the second half.
        lead: most frames of its own before those, in one of four of the other steps of the second half; in two of four
            it goes on with runs of its own, from the first frames of episodes (`worldsim.train.motion_rollouts`).
        divergence_threshold: squared error of a cell at the end of that lead from which on it and those beside it teach
        nothing, for
            what is recorded is not what follows there (as `worldsim.train.self_rollout.diverged_tokens`).
        event_share: share of clips drawn by what moves in them and by rare actions, the others at random.
        hidden_unknown: share of clips of whose known frames the last picture is not known, where there are two: it is
        as the
            first.
        noise: standard deviation of the noise on what half of the clips begin with.
        motion_weight: extra weight of cells that change more than most of their frame, or did one frame before, up to
        this
            factor.
        variance_weight: weight of the variance of what a cell is mixed of, in the second half. The mean of several
        columns errs
            least, one frame at a time, but in ten frames a thing is a smear; with 1 it is as if one place were drawn.
    """

    steps: int = 3000
    batch: int = 16
    lr: float = 2e-3
    past: int = 32
    short: int = 4
    length: int = 8
    lead: int = 34
    divergence_threshold: float = 0.5
    event_share: float = 0.8
    hidden_unknown: float = 0.3
    noise: float = 0.05
    motion_weight: float = 10.0
    variance_weight: float = 0.3
    seed: int = 0


def run_length(share: float, longest: int) -> int:
    """Frames that have a gradient when a `share` of the training is over: from 1 to `longest`, after half of it."""
    return min(longest, 1 + int(2 * share * longest))


def motion_rollout(
    motion: MotionPrior, frames: Tensor, actions: Tensor, columns: Tensor, known: int, back: int
) -> tuple[Tensor, Tensor]:
    """What comes after so many `known` frames, each made of the `back + 1` before it, of which those before the first
    are as that; the first and the last column are as recorded, for what comes into view can't be known. Latents `[B, T,
    layers C, h, w]`, actions `[B, T]` and how many cells to the right the view was `[B, T]` -> `[B, T, layers C, h,
    w]`, the known ones as they are, and the variance of what each cell of the others is mixed of, `[B, T - known,
    layers, h, w]`."""
    run, spreads = list(frames[:, :known].unbind(1)), []
    for t in range(known, frames.shape[1]):
        newest = [max(i, 0) for i in range(t - back - 1, t)]
        past = torch.stack([run[i] for i in newest], dim=1)
        made, spread = motion.predict(past, actions[:, t - 1], columns[:, newest])
        run.append(torch.cat([frames[:, t, ..., :1], made[..., 1:-1], frames[:, t, ..., -1:]], dim=-1))
        spreads.append(spread)
    return torch.stack(run, dim=1), torch.stack(spreads, dim=1)


def train_motion(
    motion: MotionPrior, recording: Recording, clips: LatentDataset, out: Path, back: int, training: MotionTraining
) -> None:
    """Train `motion` in place until `training.steps`, going on from the last checkpoint in `out`; it ends as the
    moving average of its weights. It sees so many frames `back`.

    Raises:
        WorldsimError: if nothing moves in the recording, or its episodes are too short.
    """
    cells, layers = motion.channels, clips.latents.shape[1] // motion.channels
    optimizer = with_peaks(torch.optim.AdamW(motion.parameters(), lr=training.lr, betas=(0.9, 0.98), weight_decay=0))
    settings = {"size": list(motion.first.weight.shape), "back": back, **dataclasses.asdict(training)}
    del settings["steps"]
    loop = Loop(out, "motion", motion, [optimizer], settings, training.steps)
    kinds = [clips.rare_actions(), clips.moved_hidden() if layers == 2 else clips.change()]
    if not kinds[1].any():
        raise WorldsimError(f"{recording.path}: nothing moves in it; train without motion")
    happens = sum(kind / max(kind.mean(), 1e-9) for kind in kinds)
    episodes = recording.episodes("train")
    room = max((end - begin for begin, end in episodes), default=0) - training.past
    longest = max(min(training.length, room), 1)
    most_lead = max(min(training.lead, room - longest), 0)
    runs = MotionRollouts(
        clips, cells, episodes, training.batch, training.past, back, longest, training.noise, training.seed
    )

    def apart(frames: Tensor, others: Tensor) -> Tensor:
        """Mean squared difference of each cell of each picture: `[B, T, layers, h, w]`."""
        return (frames - others).square().unflatten(2, (-1, cells)).mean(3)

    @functools.cache
    def windows(frames: int) -> Windows:
        return Windows(episodes, training.past + frames, happens)

    def draw(step: int, frames: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
        index = windows(frames).draw(count, training.seed, step, training.event_share)
        latents, actions = clips.latents[index].astype("float32"), clips.actions[index]
        return torch.from_numpy(latents), torch.from_numpy(actions), clips.poses[index][..., 0]

    def led_up(known: int, lead: int, frames: int, count: int, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Clips of so many known frames, some of its own and others, as shown and as recorded; actions, and columns."""
        generator = step_generator(training.seed + 1, step)
        true, actions, columns = (x[:, training.past - known :] for x in draw(step, lead + frames, count))
        unknown = torch.rand(len(true), generator=generator) < training.hidden_unknown
        level = training.noise * (torch.rand(len(true), 1, 1, 1, 1, generator=generator) < 0.5)
        shown = true.clone()
        shown[unknown, :known, -cells:] = true[unknown, :known, :cells]
        shown[:, :known] += level * torch.randn(shown[:, :known].shape, generator=generator)
        if lead:
            with torch.no_grad():
                shown[:, : known + lead] = motion_rollout(
                    motion, shown[:, : known + lead], actions, columns, known, back
                )[0]
        return shown, true, actions, columns

    def train_step(step: int) -> dict[str, Tensor]:
        generator = step_generator(training.seed, step)
        frames, lead, late = run_length(step / training.steps, longest), 0, 2 * step >= training.steps
        known, count, goes_on = training.past, training.batch, late and step % 4 == 2
        if step % 2:
            frames, count = 1, training.short * training.batch
            known = int(torch.randint(min(PAST + 1, known), known + 1, (), generator=generator))
        elif late and step % 8 == 4:
            lead = int(torch.randint(most_lead + 1, (), generator=generator))
        if goes_on:
            shown, true, actions, columns = runs.go_on(step)
        else:
            shown, true, actions, columns = led_up(known, lead, frames, count, step)
        led = shown.shape[1] - frames
        made, spread = motion_rollout(motion, shown, actions, columns, led, back)
        if goes_on:
            runs.keep(made)
        before, after = true[:, -frames - 1 : -1], true[:, -frames:]
        change = apart(true[:, -frames - 1 :], true[:, -frames - 2 : -1])
        change = torch.maximum(change[:, 1:], change[:, :-1])
        weight = 1 + (change / (change.mean((-2, -1), keepdim=True) + 1e-3)).clamp(max=training.motion_weight)
        if lead or goes_on:
            lost = apart(shown[:, led - 1 : led], before[:, :1])[:, 0] > training.divergence_threshold
            weight = weight * (1 - F.max_pool2d(lost.float(), 3, stride=1, padding=1))[:, None]
        loss = ((apart(made[:, -frames:], after) + late * training.variance_weight * spread) * weight).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(motion.parameters(), 1.0)
        optimizer.step()
        return {"loss": loss.detach()}

    def preview(step: int) -> dict[str, float]:
        """Error of runs of its own, as a share of what has changed since the last frame that was known."""
        true, actions, columns = draw(training.steps, most_lead + longest, training.batch)
        with torch.no_grad():
            made, spread = motion_rollout(motion, true, actions, columns, training.past, back)
        error, change = (
            (x - true).square().mean((0, 2, 3, 4)) for x in (made, true[:, training.past - 1 : training.past])
        )
        last = true.shape[1] - 1
        return {
            f"after_{t - training.past + 1}": float(error[t] / change[t].clamp(min=1e-6)) for t in (training.past, last)
        } | {"undecided": float(spread.mean())}

    loop.run(train_step, preview)
    motion.load_state_dict(loop.average.weights)
