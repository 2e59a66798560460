"""Train the motion prior: how what is there goes on, frame after frame of its own, with a gradient through the last of
them.

B clips, T frames, C x h x w latents of one layer.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.data.latents import LatentDataset
from worldsim.data.recording import Recording
from worldsim.data.windows import Windows
from worldsim.errors import WorldsimError
from worldsim.models.motion import PAST, MotionPrior
from worldsim.train import distributed
from worldsim.train.draws import Draws
from worldsim.train.motion_rollouts import MotionRollouts
from worldsim.train.trainer import ON_CPU, RunOptions, Trainer


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
            nothing, for what is recorded is not what follows there (as
            `worldsim.train.self_rollout.diverged_tokens`).
        event_share: share of clips drawn by what moves in them and by rare actions, the others at random.
        hidden_unknown: share of clips of whose known frames the hidden layer, where there is one, is not known: it is
            as the first.
        noise: standard deviation of the noise on what half of the clips begin with.
        motion_weight: extra weight of cells that change more than most of their frame, or did one frame before, up to
            this factor.
        variance_weight: weight of the variance of what a cell is mixed of, in the second half. The mean of several
            columns errs least, one frame at a time, but in ten frames a thing is a smear; with 1 it is as if one place
            were drawn.
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


class MotionLoss(nn.Module):
    """The loss of one batch of clips, as a module, so that it is sharded as a whole."""

    def __init__(self, motion: MotionPrior, back: int, training: MotionTraining):
        super().__init__()
        self.motion, self.back, self.training_config = motion, back, training

    def forward(
        self, shown: Tensor, true: Tensor, actions: Tensor, columns: Tensor, frames: int, late: bool, own_past: bool
    ) -> dict[str, Tensor]:
        """The loss of the last `frames` of clips, latents as `shown` and as recorded `[B, T, layers C, h, w]`, with all
        frames as they were made, "made". `late` is the second half of the training; in clips with an `own_past`, cells
        that have come apart by then teach nothing."""
        training, start = self.training_config, shown.shape[1] - frames
        made, spread = motion_rollout(self.motion, shown, actions, columns, start, self.back)
        before, after = true[:, -frames - 1 : -1], true[:, -frames:]
        change = self._apart(true[:, -frames - 1 :], true[:, -frames - 2 : -1])
        change = torch.maximum(change[:, 1:], change[:, :-1])
        weight = 1 + (change / (change.mean((-2, -1), keepdim=True) + 1e-3)).clamp(max=training.motion_weight)
        if own_past:
            diverged = self._apart(shown[:, start - 1 : start], before[:, :1])[:, 0] > training.divergence_threshold
            weight = weight * (1 - F.max_pool2d(diverged.float(), 3, stride=1, padding=1))[:, None]
        error = self._apart(made[:, -frames:], after) + late * training.variance_weight * spread
        return {"loss": (error * weight).mean(), "made": made}

    def _apart(self, frames: Tensor, others: Tensor) -> Tensor:
        """Mean squared difference of each cell of each layer: `[B, T, layers, h, w]`."""
        return (frames - others).square().unflatten(2, (-1, self.motion.channels)).mean(3)


class MotionClips:
    """Clips to learn from, of what moves and of rare actions as much.

    Raises:
        WorldsimError: if nothing moves in the recording.
    """

    def __init__(self, recording: Recording, clips: LatentDataset, channels: int, training: MotionTraining):
        kinds = [clips.rare_actions(), clips.moved_hidden() if clips.latents.shape[1] > channels else clips.change()]
        if not kinds[1].any():
            raise WorldsimError(f"{recording.path}: nothing moves in it; train without motion")
        self._events = sum(kind / max(kind.mean(), 1e-9) for kind in kinds)
        self._clips, self._channels, self._training = clips, channels, training
        self._episodes = recording.episodes("train")
        self._windows = functools.cache(self._windows_of)

    def recorded(self, draws: Draws, frames: int) -> tuple[Tensor, Tensor, Tensor]:
        """Latents of as many known frames as there can be and `frames` others, `[B, T, layers C, h, w]`; actions, and
        how many cells to the right the view was `[B, T]`."""
        index = self._windows(frames).draw(draws.batch, draws.seed, draws.step, self._training.event_share)
        index = draws.own(index)
        actions, columns = torch.from_numpy(self._clips.actions[index]), self._clips.poses[index][..., 0]
        return draws.put(self._clips.frames(index)), draws.put(actions), draws.put(columns)

    def shown(self, draws: Draws, true: Tensor, known: int) -> Tensor:
        """What is shown of recorded clips: the hidden layer of the known frames not in all of them, and some noise."""
        training, cells = self._training, self._channels
        unknown = draws.rand() < training.hidden_unknown
        level = training.noise * (draws.rand(1, 1, 1, 1) < 0.5)
        shown = true.clone()
        shown[unknown, :known, -cells:] = true[unknown, :known, :cells]
        shown[:, :known] += level * draws.randn(*shown[:, :known].shape[1:])
        return shown

    def _windows_of(self, frames: int) -> Windows:
        return Windows(self._episodes, self._training.past + frames, self._events)


def train_motion(
    motion: MotionPrior,
    recording: Recording,
    clips: LatentDataset,
    out: Path,
    back: int,
    training: MotionTraining,
    options: RunOptions = ON_CPU,
) -> None:
    """Train `motion` until `training.steps`, going on from the last checkpoint in `out`; it ends as the moving average
    of its weights. It sees so many frames `back`.

    Raises:
        WorldsimError: if nothing moves in the recording, or its episodes are too short.
    """
    source = MotionClips(recording, clips, motion.channels, training)
    episodes = recording.episodes("train")
    room = max((end - begin for begin, end in episodes), default=0) - training.past
    longest = max(min(training.length, room), 1)
    most_lead = max(min(training.lead, room - longest), 0)
    settings = {"size": list(motion.first.weight.shape), "back": back, **dataclasses.asdict(training)}
    del settings["steps"]
    learning = copy.deepcopy(motion)
    trainer = Trainer(
        out,
        "motion",
        learning,
        MotionLoss(learning, back, training),
        functools.partial(adamw, lr=training.lr),
        settings,
        steps=training.steps,
        batch=training.batch,
        seed=training.seed,
        options=dataclasses.replace(options, compile=False),
        mixed=False,
    )
    runs = MotionRollouts(
        clips, motion.channels, episodes, training.batch, training.past, back, longest, training.noise, training.seed
    )

    def train_step(draws: Draws) -> dict[str, Tensor]:
        frames, lead, late = run_length(draws.share, longest), 0, draws.share >= 0.5
        known, count, goes_on = training.past, training.batch, late and draws.step % 4 == 2
        if draws.step % 2:
            frames, count = 1, training.short * training.batch
            known = draws.integer(min(PAST + 1, known), known + 1)
        elif late and draws.step % 8 == 4:
            lead = draws.integer(0, most_lead + 1)
        if goes_on:
            shown, true, actions, columns = runs.go_on(draws)
        else:
            recorded = source.recorded(draws.of(training.seed, count), lead + frames)
            true, actions, columns = (x[:, training.past - known :] for x in recorded)
            shown = source.shown(draws.of(training.seed + 1, count), true, known)
            if lead:
                with distributed.gathered(trainer.loss), torch.no_grad():
                    led = shown[:, : known + lead]
                    shown[:, : known + lead] = motion_rollout(learning, led, actions, columns, known, back)[0]
        values = trainer.update(shown, true, actions, columns, frames, late, bool(lead or goes_on))
        made = values.pop("made")
        if goes_on:
            runs.keep(made, draws)
        return values

    def preview(step: int, learned: nn.Module) -> dict[str, float]:
        """Error of runs of its own, as a share of what has changed since the last frame that was known."""
        draws = Draws(training.seed, training.steps, training.batch, 1.0, trainer.policy)
        device = next(learned.parameters()).device
        true, actions, columns = (x.to(device) for x in source.recorded(draws, most_lead + longest))
        with torch.no_grad():
            made, spread = motion_rollout(cast(MotionPrior, learned), true, actions, columns, training.past, back)
        error, change = (
            (x - true).square().mean((0, 2, 3, 4)) for x in (made, true[:, training.past - 1 : training.past])
        )
        last = true.shape[1] - 1
        return {
            f"after_{t - training.past + 1}": float(error[t] / change[t].clamp(min=1e-6)) for t in (training.past, last)
        } | {"undecided": float(spread.mean())}

    motion.load_state_dict(trainer.run(train_step, preview).state_dict())


def adamw(motion: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """The optimizer."""
    return [torch.optim.AdamW(motion.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=0)]
