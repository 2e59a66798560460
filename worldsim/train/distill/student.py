"""The student: a world model whose denoiser learns, and the method that it learns by, on its own kind of batch.

F frames of a batch (B clips of T), N tokens a frame, V numbers of a token, Y layers of a latent frame.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from worldsim.errors import WorldsimError
from worldsim.models.flow import pseudo_huber
from worldsim.models.layers import FourierFeatures
from worldsim.models.ode_samplers import Denoise
from worldsim.models.trigflow import angle, to_trig, trig_network
from worldsim.models.world_model import Features, Prediction, WorldModel
from worldsim.train.clip_batches import by_cell
from worldsim.train.distill import meanflow, scm, segment
from worldsim.train.draws import Draws

REFINE_STEPS = (1 / 8, 1 / 32)  # of the teacher, in the first and in the second half of bootstrapping
WARM_UP = 0.3  # of the training, in which sCM's tangent comes to full strength


class HeadBatch(NamedTuple):
    """What the denoiser sees and should predict of F frames.

    Attributes:
        features: `[F, ...]`, of the frozen context encoder. previous: tokens of the frames before `[F, N, V]`.
        clean, noise, noisy: of the frames, `[F, N, V]`; noisy at signal level tau `[F]`.
        span: of time that the prediction is for `[F]`, where the method has one.
        weight: of every latent cell `[F, N, Y cells]`.
        reward, cont: the teacher's logits `[F, 33]` and `[F]`.
        target: the clean latent to predict `[F, N, V]`.
    """

    features: Features
    previous: Tensor
    clean: Tensor
    noise: Tensor
    noisy: Tensor
    tau: Tensor
    span: Tensor
    weight: Tensor
    reward: Tensor
    cont: Tensor
    target: Tensor


def denoiser_of(model: WorldModel, batch: HeadBatch) -> Denoise:
    """A world model as a function of noisy tokens and signal level."""
    return lambda noisy, tau: model.denoise(batch.features, batch.previous, noisy, tau).clean


class Method(Protocol):
    """How a student learns; an `nn.Module` too, of what is learned besides."""

    def levels(self, tau: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Signal levels and spans `[B, T]`, where plain training would draw `tau` `[B, T]`."""

    def condition(self, features: Features, span: Tensor) -> Features:
        """Features that also say for which span is predicted."""

    def target(self, student: Student, average: Student, teacher: Denoise, batch: HeadBatch, share: float) -> Tensor:
        """The clean latents to predict, after a share of the training; no gradient."""

    def loss(self, clean: Tensor, batch: HeadBatch) -> Tensor:
        """Of predicted clean latents `[F, N, V]`: a scalar."""

    def fold(self, model: WorldModel) -> None:
        """Put what was learned besides into the model, for the schedule of play."""


class Student(nn.Module):
    """A world model with what its training needs besides."""

    def __init__(self, world_model: WorldModel, method: Method):
        super().__init__()
        self.world_model, self.method = world_model, method
        world_model.requires_grad_(False)
        for name, part in world_model.named_children():
            part.requires_grad_(name in ("denoiser", "refiner"))

    def denoise(self, batch: HeadBatch, noisy: Tensor, tau: Tensor, span: Tensor) -> Prediction:
        """One pass."""
        features = self.method.condition(batch.features, span)
        return self.world_model.denoise(features, batch.previous, noisy, tau)

    def plain(self) -> WorldModel:
        """A world model that plays what was learned."""
        model = copy.deepcopy(self.world_model).eval()
        self.method.fold(model)
        return model


class Segments(nn.Module):
    """Segment consistency: first to where the teacher's flow leads, then to where the moving average jumps."""

    def __init__(self, model: WorldModel, schedule: Sequence[float], passes: int, huber: float):
        super().__init__()
        self.config, self.schedule, self.passes, self.huber = model.config, tuple(schedule), passes, huber

    def levels(self, tau: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """What would be pure noise is at the schedule's levels, where play asks."""
        starts = torch.tensor(self.schedule, device=tau.device)
        chosen = starts[(draws.rand(tau.shape[1]) * len(starts)).long().clamp(max=len(starts) - 1)]
        return torch.where(tau == 0, chosen, tau), torch.zeros_like(tau)

    def condition(self, features: Features, span: Tensor) -> Features:
        """Nothing to say."""
        return features

    def target(self, student: Student, average: Student, teacher: Denoise, batch: HeadBatch, share: float) -> Tensor:
        """See `worldsim.train.distill.segment`."""
        end = segment.segment_ends(batch.tau, self.schedule)
        if share < 0.5:
            return segment.trajectory_target(teacher, batch.noisy, batch.tau, end, self.passes)
        own = denoiser_of(average.world_model, batch)
        step = REFINE_STEPS[share >= 0.75]
        return segment.bootstrapped_target(teacher, own, batch.noisy, batch.tau, end, step)

    def loss(self, clean: Tensor, batch: HeadBatch) -> Tensor:
        """Pseudo-Huber of each cell's error where the jump ends, by the cell's weight."""
        share = segment.jump_share(batch.tau, segment.segment_ends(batch.tau, self.schedule))
        error = by_cell(share[:, None, None] * (clean - batch.target), self.config)
        return (pseudo_huber(error, self.huber) * batch.weight).mean() / batch.weight.mean()

    def fold(self, model: WorldModel) -> None:
        """Nothing was learned besides."""


class ContinuousConsistency(nn.Module):
    """sCM. With `distill` false, without the teacher: the flow is then that of the data."""

    def __init__(self, distill: bool):
        super().__init__()
        self.distill, self.weight = distill, scm.AdaptiveWeight()

    def levels(self, tau: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """By the logarithm of sigma."""
        return scm.draw_levels(draws.randn(tau.shape[1])), torch.zeros_like(tau)

    def condition(self, features: Features, span: Tensor) -> Features:
        """Nothing to say."""
        return features

    def target(self, student: Student, average: Student, teacher: Denoise, batch: HeadBatch, share: float) -> Tensor:
        """See `worldsim.train.distill.scm`."""
        noisy, tau = batch.noisy, batch.tau
        if self.distill:
            velocity = trig_network(teacher)(to_trig(noisy, tau), angle(tau))
        else:
            velocity = scm.data_velocity(batch.clean, batch.noise, tau)
        return scm.scm_target(denoiser_of(student.world_model, batch), velocity, noisy, tau, min(1.0, share / WARM_UP))

    def loss(self, clean: Tensor, batch: HeadBatch) -> Tensor:
        """Adaptively weighted."""
        return scm.scm_loss(clean, batch.target, batch.tau, self.weight(batch.tau)).mean()

    def fold(self, model: WorldModel) -> None:
        """The weight is of the loss alone."""


class MeanFlow(nn.Module):
    """MeanFlow. The span is embedded into the features of every place, so that for one span it is a bias.

    Raises:
        WorldsimError: for a schedule whose steps are of different spans.
    """

    def __init__(self, model: WorldModel, schedule: Sequence[float], distill: bool):
        super().__init__()
        dit = model.config.dit
        steps = torch.diff(torch.tensor([*schedule, 1.0]))
        if not torch.allclose(steps, steps[:1]):
            raise WorldsimError(f"meanflow takes a schedule of equal steps, such as 0 or 0 0.5, not {tuple(schedule)}")
        self.distill, self.registers, self.span = distill, dit.registers, float(steps[0])
        self.embedding = FourierFeatures(dit.width, octaves=scm.SMOOTH)
        nn.init.zeros_(self.embedding.net[-1].weight)
        nn.init.zeros_(self.embedding.net[-1].bias)

    def levels(self, tau: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """As plain training, with spans."""
        return tau, meanflow.draw_spans(tau, draws.rand(tau.shape[1]))

    def condition(self, features: Features, span: Tensor) -> Features:
        """Add the span's embedding to every place; registers stand for none."""
        registers, places = features.tokens.tensor_split([self.registers], dim=1)
        return features._replace(tokens=torch.cat([registers, places + self.embedding(span)[:, None]], dim=1))

    def target(self, student: Student, average: Student, teacher: Denoise, batch: HeadBatch, share: float) -> Tensor:
        """See `worldsim.train.distill.meanflow`."""
        noisy, tau = batch.noisy, batch.tau
        clean = teacher(noisy, tau) if self.distill else batch.clean
        velocity = meanflow.velocity_towards(clean, noisy, tau)

        def own(z: Tensor, level: Tensor, span: Tensor) -> Tensor:
            return student.denoise(batch, z, level, span).clean

        return meanflow.meanflow_target(own, velocity, noisy, tau, batch.span)

    def loss(self, clean: Tensor, batch: HeadBatch) -> Tensor:
        """Adaptively weighted."""
        return meanflow.meanflow_loss(clean, batch.target, batch.tau).mean()

    def fold(self, model: WorldModel) -> None:
        """The embedding of the schedule's span becomes a bias."""
        bias = model.denoiser.noisy_in.bias
        bias.data += self.embedding(torch.tensor([self.span], device=bias.device))[0].detach()
