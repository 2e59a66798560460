"""The batch of one step of the dynamics' training: recorded clips, what is noised and hidden of them, and a past that
the model has made for itself. Knows no loss.

B clips, T frames, N tokens a frame, V token width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from worldsim.data.latents import LatentDataset, PastFrames
from worldsim.data.recording import Recording
from worldsim.data.windows import Windows
from worldsim.errors import WorldsimError
from worldsim.models.config import WorldModelConfig
from worldsim.models.flow import add_noise, draw_tau
from worldsim.models.world_model import WorldModel
from worldsim.train import distributed
from worldsim.train.draws import Draws
from worldsim.train.self_rollout import diverged_tokens, self_rollout

if TYPE_CHECKING:
    from worldsim.train.dynamics import DynamicsTraining


@dataclasses.dataclass(frozen=True)
class LongClips:
    """Longer clips in some of the steps: alternating lengths teach a long past at little cost (Dreamer 4, Hafner et al.
    2025, section 3.2).

    Attributes:
        length: frames of such a clip. batch: clips of such a step, in all processes together.
        every: one step in so many is one.
    """

    length: int = 65
    batch: int = 4
    every: int = 2

    def due(self, step: int) -> bool:
        """Whether a step is one."""
        return step % self.every == 0


class ClipBatch(NamedTuple):
    """Clips to learn from.

    Attributes:
        context: what the next frames are predicted from, tokens `[B, T, N, V]`.
        actions: int64 `[B, T]`, taken on seeing them.
        target: the frames to predict `[B, T, N, V]`. noise: K of each of them `[B, T, K, N, V]`. tau: their signal
            levels `[B, T, K]`.
        loss_mask: bool `[B, T, N]`, which tokens count.
        weight: of every latent cell `[B, T, N, Y cells]`. mean_weight: its mean over the batches of all processes.
        reward, cont: `[B, T]`. state: `[B, T, S]`.
        past: the frames before the clip, if there is memory.
        noise_share: of the context `[B, T]`, for a model that is told it.
    """

    context: Tensor
    actions: Tensor
    target: Tensor
    noise: Tensor
    tau: Tensor
    loss_mask: Tensor
    weight: Tensor
    mean_weight: Tensor
    reward: Tensor
    cont: Tensor
    state: Tensor
    past: PastFrames | None
    noise_share: Tensor | None = None


class ClipBatches:
    """Draws batches.

    Raises:
        WorldsimError: if the episodes are too short, or nothing happens in them that clips are to be drawn by.
    """

    def __init__(
        self, recording: Recording, clips: LatentDataset, config: WorldModelConfig, training: DynamicsTraining
    ):
        self._clips, self._config, self._training = clips, config, training
        events = event_weights(recording, clips, training) if training.event_share else None
        episodes = recording.episodes("train")
        self._usual = _Clips(episodes, training.length, training.self_rollout_max, events)
        self._long: _Clips | None = None
        if training.long_clips:
            self._long = _Clips(episodes, training.long_clips.length, training.self_rollout_max, events)

    def draw(self, draws: Draws, model: WorldModel, averaged: WorldModel) -> ClipBatch:
        """This process's clips of one step; `averaged` rolls out their past where that is due."""
        config, training = self._config, self._training
        clips = self._usual
        if training.long_clips and self._long and training.long_clips.due(draws.step):
            clips, draws = self._long, draws.of(draws.seed, training.long_clips.batch)
        rolls_out = draws.share >= training.self_rollout_start and draws.step % 4 > 0
        lead = draws.integer(0, clips.most_lead + 1) if rolls_out else 0
        windows = clips.windows[clips.most_lead if rolls_out else 0]
        drawn = draws.own(windows.draw(draws.batch, draws.seed, draws.step, training.event_share))
        index = drawn[:, -clips.length - lead :]
        latents, actions, reward, cont, state = draws.put(self._clips[index])
        tokens = model.to_tokens(latents)
        clean, target = tokens[:, :-1], tokens[:, 1:]
        t = actions.shape[1]
        actions = torch.where(draws.rand(1) < training.null_action, config.actions, actions)
        level = training.context_noise * draws.rand(t, 1) * (draws.rand(1, 1) < 0.75)  # a quarter of them stays clean
        context = add_noise(clean, draws.randn(*clean.shape[1:]), 1 - level)
        share = level[..., 0].clone() if config.told_noise else None
        past = None
        if config.memory:
            past = draws.put(self._clips.past(index[:, 0], config.memory.retention)).to_tokens(model)
        first = draws.integer(clips.length // 2, clips.length)
        if config.layers == 2:  # at the start of play nothing is known of the hidden layer
            unknown = draws.rand() < training.hidden_unknown
            context[unknown, :first] = model.without_hidden_layer(context[unknown, :first])
            past = past and past.without_hidden_layer(model, unknown)
        if rolls_out:
            context = self_rollout(averaged, training.sampling, context, actions, first, draws, past, share)
            if share is not None and config.told_noise:
                share[:, first:] = config.told_noise.play  # as it makes them
        past = past and past.extended(model, context, actions, lead, clips.most_lead)
        # Contiguous: a compiled graph is compiled again for other strides.
        context, actions, clean, target, reward, cont, state = (
            x[:, lead:].contiguous() for x in (context, actions, clean, target, reward, cont, state)
        )
        several = actions.shape[1], training.noise_samples
        noise = draws.randn(*several, *target.shape[2:])
        tau = draws.own(draw_tau((draws.batch, *several), training.pure_noise_prob, draws.generator))
        loss_mask = torch.ones(target.shape[:-1], dtype=torch.bool, device=target.device)
        if rolls_out and training.divergence_threshold:
            loss_mask = ~diverged_tokens(context, clean, training.divergence_threshold, config)
        weight = motion_weights(clean, target, training.motion_weight, config)
        noised = context, actions, target, noise, tau, loss_mask
        told = None if share is None else share[:, lead:].contiguous()
        return ClipBatch(*noised, weight, distributed.mean(weight), reward, cont, state, past, told)


class _Clips:
    """Where clips of one length can be drawn from, with no frames before them and with the most that may lead."""

    def __init__(self, episodes: list[tuple[int, int]], length: int, most_lead: int, events: np.ndarray | None):
        longest = max((end - begin for begin, end in episodes), default=0)
        self.length, self.most_lead = length, max(0, min(most_lead, longest - length))
        self.windows = {room: Windows(episodes, length + room, events, length) for room in (0, self.most_lead)}


def motion_weights(before: Tensor, after: Tensor, most: float, config: WorldModelConfig) -> Tensor:
    """How much the latent cells of frames `after` others count, both tokens `[B, T, N, V]`: from 1 to 1 + `most`, by
    how much they change beside the mean of their frame; `[B, T, N, Y cells]`."""
    change = by_cell(after - before, config)
    return 1 + (change / (change.mean((2, 3), keepdim=True) + 1e-3)).clamp(max=most)


def by_cell(difference: Tensor, config: WorldModelConfig) -> Tensor:
    """Mean square of each latent cell of each layer, of tokens `[..., V]` -> `[..., Y cells]`."""
    return difference.unflatten(-1, config.token_layout).square().mean(-2).flatten(-2)


def event_weights(recording: Recording, clips: LatentDataset, training: DynamicsTraining) -> np.ndarray:
    """How much happens in each frame, of each kind that clips are drawn by as much as of the others: `[frames]`.

    Raises:
        WorldsimError: if nothing of a kind happens.
    """
    kinds: dict[str, Callable[[], np.ndarray]] = {
        "change": clips.change,
        "reward": clips.unusual_rewards,
        "action": clips.rare_actions,
        "hidden": clips.moved_hidden,
    }
    weights = np.zeros(len(recording), np.float32)
    for kind in training.events:
        happens = kinds[kind]()
        if not happens.any():
            raise WorldsimError(
                f'{recording.path}: nothing happens in it that clips could be drawn by ("{kind}"); train without '
                "event_share"
            )
        weights += happens / happens.mean()
    return weights
