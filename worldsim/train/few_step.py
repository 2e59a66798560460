"""Train a world's denoiser to need few passes: everything else stays frozen, and is the teacher's.

B clips, T frames, N tokens a frame, V numbers of a token.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from pathlib import Path
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.data.latents import LatentDataset
from worldsim.data.recording import Recording
from worldsim.device import mixed_precision, policy_of
from worldsim.errors import WorldsimError
from worldsim.models.flow import add_noise
from worldsim.models.sampling import Sampling
from worldsim.models.step import WorldStep
from worldsim.models.world_model import WorldModel
from worldsim.runtime.torch import weights_digest
from worldsim.train import distributed
from worldsim.train.checkpoint import save_model
from worldsim.train.clip_batches import ClipBatches
from worldsim.train.distill.slow_time import with_slow_time
from worldsim.train.distill.student import (
    ContinuousConsistency,
    HeadBatch,
    MeanFlow,
    Method,
    Segments,
    Student,
    denoiser_of,
)
from worldsim.train.draws import Draws
from worldsim.train.dynamics import DynamicsTraining
from worldsim.train.optimizers import adamw
from worldsim.train.preview import Preview
from worldsim.train.trainer import ON_CPU, RunOptions, Trainer

MethodName = Literal["segment", "scm", "meanflow"]


@dataclasses.dataclass(frozen=True)
class FewStepTraining:
    """Settings of a distillation.

    Attributes:
        clips: how clips are drawn, and their past; its steps, learning rate and losses are not used.
        method: segment consistency, sCM or MeanFlow; see `worldsim.train.distill`.
        schedule: signal levels that play will visit. sCM learns one pass, (0,).
        distill: learn the teacher's flow. Without it, sCM and MeanFlow learn that of the data.
        steps: optimizer steps. lr: peak learning rate of AdamW.
        passes: of the teacher, to the end of a segment.
        huber: error of a cell from which on segment consistency counts its size and not its square.
    """

    clips: DynamicsTraining
    method: MethodName = "segment"
    schedule: tuple[float, ...] = (0.0, 0.5)
    distill: bool = True
    steps: int = 4000
    lr: float = 2e-4
    passes: int = 8
    huber: float = 0.1

    @property
    def batch(self) -> int:
        """Clips of a step."""
        return self.clips.batch

    @property
    def seed(self) -> int:
        """Of the draws."""
        return self.clips.seed


class FewStepLoss(nn.Module):
    """The method's loss, and that of the outcome: reward and end as the teacher foretells them."""

    def __init__(self, student: Student):
        super().__init__()
        self.student = student

    def forward(self, *fields: Any) -> dict[str, Tensor]:
        """Losses of a `HeadBatch`, given field by field."""
        batch = HeadBatch(*fields)
        output = self.student.denoise(batch, batch.noisy, batch.tau, batch.span)
        latent = self.student.method.loss(output.clean, batch)
        reward = F.cross_entropy(output.reward, batch.reward.softmax(-1))
        cont = F.binary_cross_entropy_with_logits(output.cont, batch.cont.sigmoid())
        error = (output.clean - batch.target).square().mean()
        return {"loss": latent + 0.1 * reward + 0.1 * cont, "latent": latent, "target_error": error}


class HeadBatches:
    """Draws what the denoiser learns from: clips as the dynamics' training has them, their past and their features by
    the teacher."""

    def __init__(self, batches: ClipBatches, teacher: WorldModel, last_level: float):
        self._batches, self._teacher, self._last_level = batches, teacher, last_level

    @torch.no_grad()
    def draw(self, draws: Draws, method: Method) -> HeadBatch:
        """Of one step, with no target yet."""
        teacher = self._teacher
        clips = self._batches.draw(draws, teacher, teacher)
        tau, span = (levels.flatten() for levels in method.levels(clips.tau[:, :, 0], draws))
        previous, clean, noise = (x.flatten(0, 1) for x in (clips.context, clips.target, clips.noise[:, :, 0]))
        with mixed_precision(clean.device):
            past = clips.past and clips.past.history(teacher)
            features, _ = teacher.encode_context(clips.context, clips.actions, past, clips.noise_share)
            features = features.map(lambda part: part.flatten(0, 1).float())
            nearly = add_noise(clean, noise, torch.full(clean.shape[:-1], self._last_level, device=clean.device))
            outcome = teacher.denoise(features, previous, nearly, torch.full_like(tau, self._last_level))
        noisy = add_noise(clean, noise, tau[:, None].expand(clean.shape[:-1]))
        levels = noisy, tau, span, clips.weight.flatten(0, 1)
        return HeadBatch(features, previous, clean, noise, *levels, outcome.reward, outcome.cont, target=clean)


def make_method(model: WorldModel, training: FewStepTraining) -> Segments | ContinuousConsistency | MeanFlow:
    """What `training.method` names.

    Raises:
        WorldsimError: if the schedule or `distill` is not for it.
    """
    if training.method == "segment":
        if not training.distill:
            raise WorldsimError("segment consistency has no training without a teacher; scm and meanflow have")
        return Segments(model, training.schedule, training.passes, training.huber)
    if training.method == "meanflow":
        return MeanFlow(model, training.schedule, training.distill)
    if training.schedule != (0.0,):
        raise WorldsimError(
            f"scm learns one pass, schedule 0, not {' '.join(f'{level:g}' for level in training.schedule)}"
        )
    return ContinuousConsistency(training.distill)


def train_few_step(
    recording: Recording, world: WorldStep, out: Path, training: FewStepTraining, options: RunOptions = ON_CPU
) -> WorldModel:
    """Train until `training.steps`, going on from the last checkpoint in `out`; leaves `out/dynamics.safetensors`, a
    plain world model to be played with `training.schedule`.

    Raises:
        WorldsimError: if the recording does not fit the clips, or the settings not each other.
    """
    device, spec = options.device, recording.spec
    teacher = copy.deepcopy(world.world_model).to(device).eval().requires_grad_(False)
    autoencoder = copy.deepcopy(world.autoencoder).to(device)
    torch.manual_seed(training.clips.seed)
    mixed = training.method == "segment"  # derivatives of rounded products are noise
    begin = copy.deepcopy(teacher) if mixed else with_slow_time(teacher)[0]
    method = make_method(begin, training)
    student = Student(begin, method)
    with distributed.main_first():
        clips = LatentDataset(recording, autoencoder, out)
    clips.keep_on(policy_of(device))
    if teacher.config.view:
        clips.find_poses(copy.deepcopy(teacher.pose))
    drawn = ClipBatches(recording, clips, teacher.config, training.clips)
    batches = HeadBatches(drawn, teacher, world.sampling.schedule[-1])
    trainer = Trainer(
        out,
        "few-step",
        student,
        FewStepLoss(student),
        adamw,
        training,
        {"model": dataclasses.asdict(teacher.config), "world": spec.to_json(), "teacher": weights_digest(world)},
        options=options,
        mixed=mixed,
    )

    def train_step(draws: Draws) -> dict[str, Tensor]:
        batch = batches.draw(draws, method)
        precision = mixed_precision(device) if mixed else contextlib.nullcontext()
        with trainer.averaged() as average, torch.no_grad(), precision:
            taught = denoiser_of(teacher, batch)
            target = method.target(student, cast(Student, average), taught, batch, draws.share)
        return trainer.update(*batch._replace(target=target.float()))

    preview = Preview(recording, autoencoder, clips, out, training.clips.length, Sampling(training.schedule))

    def show(step: int, learned: nn.Module) -> dict[str, float]:
        model = cast(Student, learned).plain()
        save_model(out / "dynamics.safetensors", model, spec)
        return preview(model, step)

    return cast(Student, trainer.run(train_step, show)).plain().requires_grad_(False)
