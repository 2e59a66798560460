"""How an eye learns to see before it learns to act: it names the exact state of recorded play off its frames, and
what follows from it where a world knows more to ask for.

An agent that learns from pixels alone spends most of its frames on finding out what is in them. (Lample and Chaplot
2017 teach the same in Doom beside the reward; the agents of World Models, Ha and Schmidhuber 2018, see through a
network that learned from recorded frames.) Knows no action, no reward and no environment.

N rows, S frames in a stack, H x W pixels, C components of state.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from worldsim.dataset import SLAB, draw_rng
from worldsim.errors import WorldsimError
from worldsim.precision import NATIVE, keep_memory
from worldsim.recording import Recording
from worldsim_policies.doom_take_cover import passing
from worldsim_policies.learned import Eye, PolicyConfig

BATCH = 128  # stacks of a gradient step
LESSONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"doom-take-cover": passing}  # state [N, C] -> more of it
MOST = 96_000  # frames held in memory
JUDGED = 1024  # stacks of held-out play that say how well it sees


class _Stacks:
    """Slabs of recorded frames, and what there is to name; what was before a slab is black, as before an episode."""

    def __init__(self, recording: Recording, split: str, most: int, seed: int):
        spans = recording.episodes(split)
        slabs = [(start, min(start + SLAB, end)) for begin, end in spans for start in range(begin, end, SLAB)]
        if not slabs:
            raise WorldsimError(f"{recording.path} has no {split} episodes; record at least ten (more --frames)")
        chosen = sorted(draw_rng(seed, 0).permutation(len(slabs))[: max(1, most // SLAB)])
        parts = [slabs[i] for i in chosen]
        self._frames = np.concatenate([np.asarray(recording.frames[a:b]) for a, b in parts])
        state = np.concatenate([np.asarray(recording.state[a:b]) for a, b in parts])
        lesson = LESSONS.get(recording.spec.name)
        self.true = np.concatenate([state, lesson(state)], axis=1) if lesson else state
        self._place = np.concatenate([np.arange(b - a) for a, b in parts])  # of each frame in its slab

    def draw(self, count: int, config: PolicyConfig, rng: np.random.Generator) -> tuple[Tensor, np.ndarray]:
        """Random stacks as the policy sees them, `NATIVE` `[count, 3 S, H, W]` in [0, 1], and which frames are their
        last, int64 `[count]`."""
        last = rng.integers(len(self._frames), size=count)
        seen = []
        for ago in range((config.stack - 1) * config.repeat, -1, -config.repeat):
            frames = self._frames[np.maximum(last - ago, 0)]
            frames[self._place[last] < ago] = 0
            seen.append(frames)
        return torch.from_numpy(np.concatenate(seen, axis=-1)).permute(0, 3, 1, 2).to(NATIVE) / 255, last


def learn_to_see(
    config: PolicyConfig, recording: Recording, steps: int, seed: int, tick: Callable[[int], None]
) -> tuple[Eye, float]:
    """An eye that has learned what is where.

    Args:
        config: of the policy that it is for.
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
    known, unseen = _Stacks(recording, "train", MOST, seed), _Stacks(recording, "held-out", MOST // 8, seed)
    mean, spread = known.true.mean(0), known.true.std(0) + 1e-6
    told = known.true.std(0) > 1e-6
    keep_memory()
    torch.manual_seed(seed)
    eye = Eye(config)
    name = nn.Linear(config.hidden, len(mean))
    optimizer = torch.optim.AdamW([*eye.parameters(), *name.parameters()], lr=1e-3)

    def error(stacks: _Stacks, count: int, rng: np.random.Generator) -> Tensor:
        seen, last = stacks.draw(count, config, rng)
        true = torch.from_numpy((stacks.true[last] - mean) / spread)
        return (name(eye(seen)) - true)[:, told].square().mean()

    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1.0, 2 * (steps - step) / steps)
        loss = error(known, BATCH, draw_rng(seed, step + 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        tick(step + 1)
    with torch.inference_mode():
        return eye, 1 - float(error(unseen, JUDGED, draw_rng(seed, 0)))
