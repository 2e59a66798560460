"""The network of a learned policy: an encoder of stacked frames, a policy head and a value head. Knows no training.

N rows, H x W pixels, S frames in a stack, A actions, V views (2 if symmetric: the stack and its mirror image).
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import TYPE_CHECKING

from worldsim.errors import WorldsimError, require
from worldsim.spec import WorldSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from worldsim.device import mixed_precision
else:
    torch = require("torch", "rl")
    nn, Tensor = torch.nn, torch.Tensor
    mixed_precision = require("worldsim.device", "rl").mixed_precision


@dataclasses.dataclass(frozen=True)
class PolicyConfig:
    """What a policy observes, which actions it has, and the sizes of its network.

    Attributes:
        world: name of the world.
        height, width: of the frames in pixels.
        actions: their names, in the order of the action indices.
        stack: how many frames it observes: the newest of those on which it chose an action.
        repeat: for how many frames it holds an action.
        symmetric: equivariant under reflection: for the mirror image of its frames, it chooses the mirror image of its
            action, "left" for "right".
        channels: of the four convolutions of the encoder.
        hidden: features that the encoder puts out.
        head_width: of the hidden layer of each head; 0 for none.

    Raises:
        WorldsimError: for a stack below 1 or deeper than the frames are high or wide, a repeat below 1, or symmetric
            with actions that reflection doesn't map to one another.
    """

    world: str
    height: int
    width: int
    actions: tuple[str, ...]
    stack: int = 4
    repeat: int = 1
    symmetric: bool = False
    channels: tuple[int, int, int, int] = (16, 32, 48, 32)
    hidden: int = 256
    head_width: int = 128

    def __post_init__(self) -> None:
        deepest = (min(self.height, self.width) - 1) // 3  # Stable-Baselines3 takes the shortest side for the channels
        if not 1 <= self.stack <= deepest:
            raise WorldsimError(f"a stack of {self.stack} frames of {self.width}x{self.height}: give 1 to {deepest}")
        if self.repeat < 1:
            raise WorldsimError(f"repeat {self.repeat}: give 1 or more frames")
        if self.symmetric and {*map(_mirrored, self.actions)} != {*self.actions}:
            raise WorldsimError(
                f"the actions {', '.join(self.actions)} are not symmetric (each 'left' needs its 'right'): "
                "leave symmetric out"
            )

    @classmethod
    def of(cls, world: WorldSpec, stack: int, repeat: int = 1, symmetric: bool = False) -> PolicyConfig:
        """For a world."""
        names = tuple(action.name for action in world.actions)
        return cls(world.name, world.height, world.width, names, stack, repeat, symmetric)

    @property
    def mirrored_actions(self) -> list[int]:
        """For each action, the index of its mirror image."""
        return [self.actions.index(_mirrored(name)) for name in self.actions]


class Encoder(nn.Module):
    """Stacks of frames, float `[N, 3 S, H, W]` in [0, 1], the oldest first -> features `[N, hidden]`."""

    def __init__(self, config: PolicyConfig):
        super().__init__()
        one, two, three, four = config.channels
        rows, columns = (math.ceil(side / 8) for side in (config.height, config.width))
        self.layers = nn.Sequential(
            nn.Conv2d(3 * config.stack, one, 5, 2, padding=2),
            nn.ReLU(),
            nn.Conv2d(one, two, 3, 2, padding=1),
            nn.ReLU(),
            nn.Conv2d(two, three, 3, 2, padding=1),
            nn.ReLU(),
            nn.Conv2d(three, four, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(four * rows * columns, config.hidden),
            nn.ReLU(),
        )

    def forward(self, stacks: Tensor) -> Tensor:
        """The features, float32."""
        with mixed_precision():
            features: Tensor = self.layers(stacks.contiguous(memory_format=torch.channels_last))
        return features.float()


class ActorCritic(nn.Module):
    """uint8 stacks `[N, 3 S, H, W]`, the oldest frame first -> logits `[N, A]`, values `[N]`."""

    def __init__(self, config: PolicyConfig):
        super().__init__()
        self.encoder = Encoder(config)
        self.policy_head, self.value_head = (_head(config, outputs) for outputs in (len(config.actions), 1))
        self._mirrored_actions = config.mirrored_actions if config.symmetric else None

    def forward(self, stacks: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the actions, and the expected return in the units of training."""
        return self.evaluate(self.encode(stacks))

    def encode(self, stacks: Tensor) -> Tensor:
        """The features of each view of a stack, float `[N, V, hidden]`."""
        views = [stacks, stacks.flip(-1)] if self._mirrored_actions else [stacks]
        return torch.stack([self.encoder(view / 255.0) for view in views], dim=1)

    def evaluate(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The heads: features `[N, V, hidden]` -> logits `[N, A]`, values `[N]`."""
        logits, values = self.policy_head(features), self.value_head(features)  # [N, V, A], [N, V, 1]
        if self._mirrored_actions:  # equivariant by construction: the mean over both views, mapped to the first
            logits = torch.stack([logits[:, 0], logits[:, 1, self._mirrored_actions]], dim=1)
        return logits.mean(1), values.mean((1, 2))


def _head(config: PolicyConfig, outputs: int) -> nn.Sequential:
    """Features `[..., hidden]` -> `[..., outputs]`."""
    layers = [nn.Linear(config.hidden, config.head_width), nn.Tanh()] if config.head_width else []
    return nn.Sequential(*layers, nn.Linear(config.head_width or config.hidden, outputs))


def _mirrored(name: str) -> str:
    """An action's name, with left and right exchanged."""
    return re.sub("left|right", lambda side: "right" if side[0] == "left" else "left", name)
