"""Train the motion prior on its own rollouts, with a gradient through their last frames.

B clips, T frames, C x h x w latents of one layer.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

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
from worldsim.train.optimizers import adamw
from worldsim.train.trainer import ON_CPU, RunOptions, Trainer


@dataclasses.dataclass(frozen=True)
class MotionTraining:
    """Settings of the training.

    Attributes:
        steps: optimizer steps. batch: clips a step. lr: peak learning rate of AdamW.
        past: known frames before generated ones.
        short: batches at once in every second step, of clips in which a single frame follows on as few as PAST + 1: how
            an object turns at a wall is not learned where it was seen to turn before and can be copied.
        length: generated frames that have a gradient, from 1 at first to this many in the second half.
        lead: most generated frames before those, in one of four of the other steps of the second half; two of four
            continue rollouts from the first frames of episodes (`worldsim.train.motion_rollouts`).
        divergence_threshold: squared error of a cell at the end of that lead from which on it and its neighbours are
            left out of the loss: the recorded future does not follow from it (as in
            `worldsim.train.self_rollout.diverged_tokens`).
        event_share: share of clips drawn by what moves in them and by rare actions, the others at random.
        hidden_unknown: share of clips of whose known frames the hidden layer, where there is one, is not known: it is
            as the first.
        noise: standard deviation of the noise on what half of the clips begin with.
        motion_weight: extra weight of cells that change more than most of their frame, or did one frame before, up to
            this factor.
        variance_weight: weight of the variance of what a cell is mixed of, in the second half. The mean of several
            columns has the least error in one frame, but smears an object in ten; with 1 the loss is that of drawing
            one candidate.
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
    """Generate the frames after the `known` ones, each from the `back + 1` before it; those before the first are as the
    first. The first and the last column are as recorded: what comes into view can't be known.

    Args:
        frames: latents `[B, T, layers C, h, w]`. actions: int64 `[B, T]`.
        columns: how many cells to the right the view was, `[B, T]`.

    Returns:
        latents `[B, T, layers C, h, w]`, the known ones unchanged; and the variance of what each cell of the others is
        mixed of, `[B, T - known, layers, h, w]`.
    """
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
        that have diverged by then are left out."""
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
    """Clips to learn from: drawn by motion and by rare actions equally.

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


class MotionBatch(NamedTuple):
    """What one step learns from; the arguments of `MotionLoss`."""

    shown: Tensor
    true: Tensor
    actions: Tensor
    columns: Tensor
    frames: int
    late: bool
    own_past: bool


class MotionBatches:
    """The batch of each step: every second one of single frames; of the others, in the second half of the training, one
    in two continues rollouts of earlier steps, and one in four has a lead that the model has made itself.

    Args:
        channels: of one layer. back: frames that the model sees besides the newest.

    Attributes:
        longest, most_lead: frames that have a gradient, and frames before them, as the episodes allow.

    Raises:
        WorldsimError: if nothing moves in the recording, or its episodes are too short.
    """

    def __init__(self, recording: Recording, clips: LatentDataset, channels: int, back: int, training: MotionTraining):
        self._source, self._back, self._training = MotionClips(recording, clips, channels, training), back, training
        episodes = recording.episodes("train")
        room = max((end - begin for begin, end in episodes), default=0) - training.past
        self.longest = max(min(training.length, room), 1)
        self.most_lead = max(min(training.lead, room - self.longest), 0)
        lengths = training.past, back, self.longest
        self._rollouts = MotionRollouts(
            clips, channels, episodes, training.batch, *lengths, training.noise, training.seed
        )

    def draw(self, draws: Draws, roll_out: Callable[[Tensor, Tensor, Tensor, int], Tensor]) -> MotionBatch:
        """Of one step; `roll_out` makes its lead, if it has one: (frames, actions, columns, how many are known) ->
        frames `[B, T, layers C, h, w]`, see `motion_rollout`."""
        training, late, lead = self._training, draws.share >= 0.5, 0
        frames, known, count = run_length(draws.share, self.longest), training.past, training.batch
        if draws.step % 2:
            frames, count = 1, training.short * training.batch
            known = draws.integer(min(PAST + 1, known), known + 1)
        elif late and draws.step % 8 == 4:
            lead = draws.integer(0, self.most_lead + 1)
        if self._continues(draws):
            return MotionBatch(*self._rollouts.go_on(draws), frames, late, own_past=True)
        recorded = self._source.recorded(draws.of(training.seed, count), lead + frames)
        true, actions, columns = (x[:, training.past - known :] for x in recorded)
        shown = self._source.shown(draws.of(training.seed + 1, count), true, known)
        if lead:
            shown[:, : known + lead] = roll_out(shown[:, : known + lead], actions, columns, known)
        return MotionBatch(shown, true, actions, columns, frames, late, bool(lead))

    def keep(self, draws: Draws, made: Tensor) -> None:
        """What a step has made of its batch, for the steps that continue it."""
        if self._continues(draws):
            self._rollouts.keep(made, draws)

    def preview(self, draws: Draws, motion: MotionPrior) -> dict[str, float]:
        """Error of rollouts, as a share of what has changed since the last known frame: after the first frame, and
        after the last; and the variance of what cells are mixed of."""
        first, device = self._training.past, next(motion.parameters()).device
        recorded = self._source.recorded(draws, self.most_lead + self.longest)
        true, actions, columns = (x.to(device) for x in recorded)
        with torch.no_grad():
            made, spread = motion_rollout(motion, true, actions, columns, first, self._back)
        error, change = ((x - true).square().mean((0, 2, 3, 4)) for x in (made, true[:, first - 1 : first]))
        shares = {f"after_{t - first + 1}": error[t] / change[t].clamp(min=1e-6) for t in (first, true.shape[1] - 1)}
        return {name: float(value) for name, value in {**shares, "undecided": spread.mean()}.items()}

    @staticmethod
    def _continues(draws: Draws) -> bool:
        return draws.share >= 0.5 and draws.step % 4 == 2


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
    batches = MotionBatches(recording, clips, motion.channels, back, training)
    learning = copy.deepcopy(motion)
    trainer = Trainer(
        out,
        "motion",
        learning,
        MotionLoss(learning, back, training),
        functools.partial(adamw, beta2=0.98, weight_decay=0.0),
        training,
        {"size": list(motion.first.weight.shape), "back": back},
        options=dataclasses.replace(options, compile=False),
        mixed=False,
    )

    def roll_out(frames: Tensor, actions: Tensor, columns: Tensor, known: int) -> Tensor:
        with distributed.gathered(trainer.loss), torch.no_grad():
            return motion_rollout(learning, frames, actions, columns, known, back)[0]

    def train_step(draws: Draws) -> dict[str, Tensor]:
        values = trainer.update(*batches.draw(draws, roll_out))
        batches.keep(draws, values.pop("made"))
        return values

    def preview(step: int, learned: nn.Module) -> dict[str, float]:
        draws = Draws(training.seed, training.steps, training.batch, 1.0, trainer.policy)
        return batches.preview(draws, cast(MotionPrior, learned))

    motion.load_state_dict(trainer.run(train_step, preview).state_dict())
