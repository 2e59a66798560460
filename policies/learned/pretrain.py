"""Pretraining of a policy's encoder: it learns to predict the exact state of a world from recorded frames.

An agent that learns from pixels alone spends most of its frames on perception. Lample and Chaplot 2017 predict game
features in Doom beside the reward; the agents of World Models (Ha and Schmidhuber 2018) see through a network that was
trained on recorded frames. Knows no action, no reward and no environment.

N rows, S frames in a stack, H x W pixels, C target components.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from worldsim.data.recording import Recording
from worldsim.data.windows import SLAB, draw_rng
from worldsim.device import NATIVE, keep_memory
from worldsim.errors import WorldsimError
from worldsim_policies.learned.network import Encoder, PolicyConfig
from worldsim_policies.learned.state_targets import StateTargets

BATCH = 128  # stacks per gradient step
LR, WARMUP, WEIGHT_DECAY = 1e-3, 100, 0.02  # of AdamW; the learning rate decays to 0 by a cosine
MAX_FRAMES = 320_000  # held in memory: 7 GB in take cover
VALIDATION = 1024  # held-out stacks that the explained variance is measured on


def pretrain_encoder(
    config: PolicyConfig,
    recording: Recording,
    steps: int,
    seed: int,
    on_step: Callable[[int], None],
    targets: StateTargets | None = None,
) -> tuple[Encoder, float]:
    """Train an encoder to predict the exact state of a world through a linear map of its features.

    Args:
        config: of the policy that it is for.
        recording: play of the policy's world; the training split is used.
        steps: gradient steps, of 128 stacks.
        seed: of the weights and the batches.
        on_step: called after each step with the number of steps done.
        targets: what to predict besides the state. If the policy is symmetric, they also say how all targets are
            mirrored, and half of the stacks are mirrored (mirror augmentation).

    Returns:
        the encoder, and the share of the variance of the targets that it explains in held-out play, at most 1.

    Raises:
        WorldsimError: if the recording is of another world or size, or has no exact state.
    """
    _check(recording, config)
    train = _Stacks(recording, "train", MAX_FRAMES, config, seed, targets)
    held_out = _Stacks(recording, "held-out", MAX_FRAMES // 8, config, seed, targets)
    mean, std = train.targets.mean(0), train.targets.std(0)
    if train.mirror:
        mean = (mean + train.mirror(mean[None])[0]) / 2
    varies = std > 1e-6
    keep_memory()
    torch.manual_seed(seed)
    encoder = Encoder(config)
    readout = nn.Linear(config.hidden, len(mean))
    optimizer = torch.optim.AdamW([*encoder.parameters(), *readout.parameters()], lr=LR, weight_decay=WEIGHT_DECAY)

    def loss_of(stacks: _Stacks, count: int, rng: np.random.Generator) -> Tensor:
        frames, values = stacks.draw(count, rng)
        return (readout(encoder(frames)) - torch.from_numpy((values - mean) / (std + 1e-6)))[:, varies].square().mean()

    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LR * min(1.0, (step + 1) / WARMUP) * (1 + math.cos(math.pi * step / steps)) / 2
        loss = loss_of(train, BATCH, draw_rng(seed, step + 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        on_step(step + 1)
    with torch.inference_mode():
        return encoder, 1 - float(loss_of(held_out, VALIDATION, draw_rng(seed, 0)))


def _check(recording: Recording, config: PolicyConfig) -> None:
    spec = recording.spec
    if not spec.state_names:
        raise WorldsimError(f"{recording.path} has no exact state that an encoder could predict: leave pretrain out")
    if (spec.name, spec.height, spec.width) != (config.world, config.height, config.width):
        raise WorldsimError(
            f"{recording.path} is of {spec.name!r}, {spec.width}x{spec.height}; the agent plays {config.world!r}, "
            f"{config.width}x{config.height}"
        )


class _Stacks:
    """Frame stacks of a split of a recording, and their targets. It holds slabs of consecutive frames in memory; frames
    before a slab are black, as before an episode.

    Attributes:
        targets: of every frame, float32 `[frames, C]`.
        mirror: maps targets to those of the mirror images; None without mirror augmentation.
    """

    def __init__(
        self,
        recording: Recording,
        split: str,
        max_frames: int,
        config: PolicyConfig,
        seed: int,
        targets: StateTargets | None,
    ):
        spans = recording.episodes(split)
        slabs = [(start, min(start + SLAB, end)) for begin, end in spans for start in range(begin, end, SLAB)]
        if not slabs:
            raise WorldsimError(f"{recording.path} has no {split} episodes; record at least ten (more --frames)")
        chosen = [slabs[i] for i in sorted(draw_rng(seed, 0).permutation(len(slabs))[: max(1, max_frames // SLAB)])]
        self._index = np.concatenate([np.arange(b - a) for a, b in chosen])  # of each frame in its slab
        self._frames = np.empty((len(self._index), *recording.frames.shape[1:]), np.uint8)
        for (a, b), end in zip(chosen, np.cumsum([b - a for a, b in chosen]), strict=True):
            self._frames[end - (b - a) : end] = recording.frames[a:b]
        state = np.concatenate([np.asarray(recording.state[a:b]) for a, b in chosen])
        self.targets = np.concatenate([state, targets.derive(state)], axis=1) if targets else state
        self.mirror = targets.mirror if targets and config.symmetric else None
        self._stack, self._repeat = config.stack, config.repeat

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Tensor, np.ndarray]:
        """Random stacks as the policy sees them, `NATIVE` `[count, 3 S, H, W]` in [0, 1], and their targets
        `[count, C]`; half of them mirrored with mirror augmentation."""
        newest = rng.integers(len(self._frames), size=count)
        stack = []
        for ago in range((self._stack - 1) * self._repeat, -1, -self._repeat):
            frames = self._frames[np.maximum(newest - ago, 0)]
            frames[self._index[newest] < ago] = 0
            stack.append(frames)
        stacks = torch.from_numpy(np.concatenate(stack, axis=-1)).permute(0, 3, 1, 2).to(NATIVE) / 255
        values = self.targets[newest]
        if self.mirror:
            flipped = rng.random(count) < 0.5
            stacks[torch.from_numpy(flipped)] = stacks[torch.from_numpy(flipped)].flip(-1)
            values = np.where(flipped[:, None], self.mirror(values), values)
        return stacks, values
