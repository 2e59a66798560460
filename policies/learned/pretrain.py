"""How an eye learns to see before it learns to act: it names the exact state of recorded play off its frames, and
what follows from it where a world knows more to ask for.

An agent that learns from pixels alone spends most of its frames on finding out what is in them. (Lample and Chaplot
2017 teach the same in Doom beside the reward; the agents of World Models, Ha and Schmidhuber 2018, see through a
network that learned from recorded frames.) Knows no action, no reward and no environment.

N rows, S frames in a stack, H x W pixels, C components of state.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from worldsim.data.recording import Recording
from worldsim.data.windows import SLAB, draw_rng
from worldsim.device import NATIVE, keep_memory
from worldsim.errors import WorldsimError
from worldsim_policies.learned.policy import Eye, PolicyConfig
from worldsim_policies.scripted.doom_take_cover import mirrored, passing

BATCH = 128  # stacks of a gradient step
RATE, WARMUP, DECAY = 1e-3, 100, 0.02  # of AdamW; the rate falls to 0 by a cosine
MOST = 320_000  # frames held in memory: 7 GB of take cover's
JUDGED = 1024  # stacks of held-out play that say how well it sees


@dataclasses.dataclass(frozen=True)
class Lesson:
    """What a world knows of its exact state.

    Attributes:
        more: what follows from it, `[N, C]` -> `[N, D]`.
        mirrored: both, `[N, C + D]` -> the same of the moment in a mirror.
    """

    more: Callable[[np.ndarray], np.ndarray]
    mirrored: Callable[[np.ndarray], np.ndarray]


LESSONS = {"doom-take-cover": Lesson(passing, mirrored)}


class _Stacks:
    """Slabs of recorded frames, and what there is to name; what was before a slab is black, as before an episode."""

    def __init__(self, recording: Recording, split: str, most: int, config: PolicyConfig, seed: int):
        spans = recording.episodes(split)
        slabs = [(start, min(start + SLAB, end)) for begin, end in spans for start in range(begin, end, SLAB)]
        if not slabs:
            raise WorldsimError(f"{recording.path} has no {split} episodes; record at least ten (more --frames)")
        chosen = sorted(draw_rng(seed, 0).permutation(len(slabs))[: max(1, most // SLAB)])
        parts = [slabs[i] for i in chosen]
        self._place = np.concatenate([np.arange(b - a) for a, b in parts])  # of each frame in its slab
        self._frames = np.empty((len(self._place), *recording.frames.shape[1:]), np.uint8)
        state = np.concatenate([np.asarray(recording.state[a:b]) for a, b in parts])
        for (a, b), end in zip(parts, np.cumsum([b - a for a, b in parts]), strict=True):
            self._frames[end - (b - a) : end] = recording.frames[a:b]
        lesson = LESSONS.get(recording.spec.name)
        self.true = np.concatenate([state, lesson.more(state)], axis=1) if lesson else state
        self.mirrored = lesson.mirrored if lesson and config.mirror else None
        self._config = config

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Tensor, np.ndarray]:
        """Random stacks as the policy sees them, `NATIVE` `[count, 3 S, H, W]` in [0, 1], half of them in a mirror if
        the policy knows mirrors, and what there is to name, `[count, C]`."""
        last = rng.integers(len(self._frames), size=count)
        seen = []
        for ago in range((self._config.stack - 1) * self._config.repeat, -1, -self._config.repeat):
            frames = self._frames[np.maximum(last - ago, 0)]
            frames[self._place[last] < ago] = 0
            seen.append(frames)
        stacks = torch.from_numpy(np.concatenate(seen, axis=-1)).permute(0, 3, 1, 2).to(NATIVE) / 255
        true = self.true[last]
        if self.mirrored:
            turned = rng.random(count) < 0.5
            stacks[torch.from_numpy(turned)] = stacks[torch.from_numpy(turned)].flip(-1)
            true = np.where(turned[:, None], self.mirrored(true), true)
        return stacks, true


def learn_to_see(
    config: PolicyConfig, recording: Recording, steps: int, seed: int, tick: Callable[[int], None]
) -> tuple[Eye, float]:
    """An eye that has learned what is where.

    Args:
        config: of the policy that it is for; if that knows mirrors and the world's `LESSONS` do too, half of what it
            learns from is in a mirror.
        recording: play of the policy's world; its training split is learned from.
        steps: gradient steps, of 128 stacks.
        seed: of the weights and the draws.
        tick: told after each step how many are done.

    Returns:
        the eye, and the share of the variance of what there is to name that a linear map of its features names in
        held-out play, at most 1.

    Raises:
        WorldsimError: if the recording is of another world or size, or knows no exact state.
    """
    spec = recording.spec
    if not spec.state_names:
        raise WorldsimError(f"{recording.path} knows no exact state that an eye could learn to name: leave sight out")
    if (spec.name, spec.height, spec.width) != (config.world, config.height, config.width):
        raise WorldsimError(
            f"{recording.path} is of {spec.name!r}, {spec.width}x{spec.height}; the agent plays {config.world!r}, "
            f"{config.width}x{config.height}"
        )
    known = _Stacks(recording, "train", MOST, config, seed)
    unseen = _Stacks(recording, "held-out", MOST // 8, config, seed)
    mean, spread = known.true.mean(0), known.true.std(0) + 1e-6
    if known.mirrored:
        mean = (mean + known.mirrored(mean[None])[0]) / 2
    told = known.true.std(0) > 1e-6
    keep_memory()
    torch.manual_seed(seed)
    eye = Eye(config)
    name = nn.Linear(config.hidden, len(mean))
    optimizer = torch.optim.AdamW([*eye.parameters(), *name.parameters()], lr=RATE, weight_decay=DECAY)

    def error(stacks: _Stacks, count: int, rng: np.random.Generator) -> Tensor:
        seen, true = stacks.draw(count, rng)
        return (name(eye(seen)) - torch.from_numpy((true - mean) / spread))[:, told].square().mean()

    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARMUP) * (1 + math.cos(math.pi * step / steps)) / 2
        loss = error(known, BATCH, draw_rng(seed, step + 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        tick(step + 1)
    with torch.inference_mode():
        return eye, 1 - float(error(unseen, JUDGED, draw_rng(seed, 0)))
