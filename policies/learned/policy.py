"""A learned policy: frames to actions, and its folder on disk. Knows nothing of how it was trained but what it is told.

policy.json           world, frames, actions, sizes of the network, how it was trained; size and sha256 of the weights
policy.safetensors    the weights, float32

N rows, H x W pixels, S frames in a stack, A actions.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError

from worldsim.artifact import ArtifactKind
from worldsim.errors import WorldsimError, require
from worldsim.spec import WorldSpec

if TYPE_CHECKING:
    import torch
    from safetensors import torch as storage
    from torch import Tensor, nn

    from worldsim.device import mixed_precision
else:
    torch = require("torch", "rl")
    nn, Tensor = torch.nn, torch.Tensor
    storage = require("safetensors.torch", "rl")
    mixed_precision = require("worldsim.device", "rl").mixed_precision

POLICY = ArtifactKind(
    noun="a policy",
    manifest="policy.json",
    format=1,
    written_by="worldsim train agent",
    way_out="Train the agent again, or fetch it again if it came from somewhere.",
)
WEIGHTS = "policy.safetensors"
SHIPPED = Path(__file__).parents[1] / "agents"


@dataclasses.dataclass(frozen=True)
class PolicyConfig:
    """What a policy sees, what it can do, and how large it is.

    Attributes:
        world: its name.
        height, width: of the frames in pixels.
        actions: their names, in the order of the action indices.
        repeat: for how many frames it holds what it chose.
        stack: how many frames it sees: the newest of those on which it chose.
        mirror: what is seen in a mirror is answered by the same choice in a mirror: "left" in place of "right".
        channels: of the four convolutions.
        hidden: features that the eye makes of them.
        choosing: width of the layer between those and the choice; 0 for none.

    Raises:
        WorldsimError: for a stack that is none, or deeper than the frames are high or wide, or for actions that a
            mirror doesn't map to one another.
    """

    world: str
    height: int
    width: int
    actions: tuple[str, ...]
    stack: int = 4
    repeat: int = 1
    mirror: bool = False
    channels: tuple[int, int, int, int] = (16, 32, 48, 32)
    hidden: int = 256
    choosing: int = 128

    def __post_init__(self) -> None:
        most = (min(self.height, self.width) - 1) // 3  # Stable-Baselines3 takes the shortest side for the channels
        if not 1 <= self.stack <= most:
            raise WorldsimError(f"a stack of {self.stack} frames of {self.width}x{self.height}: give 1 to {most}")
        if self.repeat < 1:
            raise WorldsimError(f"repeat {self.repeat}: give 1 or more frames")
        if self.mirror and {*map(_mirrored, self.actions)} != {*self.actions}:
            raise WorldsimError(f"{', '.join(self.actions)}: in a mirror they are not the same: leave mirror out")

    @classmethod
    def of(cls, world: WorldSpec, stack: int, repeat: int = 1, mirror: bool = False) -> PolicyConfig:
        """For a world."""
        names = tuple(action.name for action in world.actions)
        return cls(world.name, world.height, world.width, names, stack, repeat, mirror)

    @property
    def opposite(self) -> list[int]:
        """For each action, which one it is in a mirror."""
        return [self.actions.index(_mirrored(name)) for name in self.actions]


class Eye(nn.Module):
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
        """The features."""
        with mixed_precision():
            features: Tensor = self.layers(stacks.contiguous(memory_format=torch.channels_last))
        return features.float()


class Network(nn.Module):
    """uint8 stacks `[N, 3 S, H, W]`, the oldest frame first -> logits `[N, A]`, values `[N]`."""

    def __init__(self, config: PolicyConfig):
        super().__init__()
        self.eye = Eye(config)
        self.policy, self.value = (_chooser(config, outputs) for outputs in (len(config.actions), 1))
        self._opposite = config.opposite if config.mirror else None

    def forward(self, stacks: Tensor) -> tuple[Tensor, Tensor]:
        """What to do, and what is still to come, in whatever unit it was trained in."""
        return self.choose(self.see(stacks))

    def see(self, stacks: Tensor) -> Tensor:
        """The features of a stack, float `[N, views, hidden]`; the second view, if there is one, is in a mirror."""
        views = [stacks, stacks.flip(-1)] if self._opposite else [stacks]
        return torch.stack([self.eye(view / 255.0) for view in views], dim=1)

    def choose(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The second half of `forward`."""
        logits, values = self.policy(features), self.value(features)  # [N, views, A], [N, views, 1]
        if self._opposite:  # equivariant by construction: the mean of what is said here and of what a mirror says
            logits = torch.stack([logits[:, 0], logits[:, 1, self._opposite]], dim=1)
        return logits.mean(1), values.mean((1, 2))


@dataclasses.dataclass(frozen=True, eq=False)
class Policy:
    """A network that plays, and where it comes from.

    Attributes:
        config: of the network.
        network: in evaluation mode.
        training: facts, plain JSON: environment, seed, steps, temperature, versions.
        name: its folder, for messages.
    """

    config: PolicyConfig
    network: Network
    training: dict[str, Any]
    name: str = "policy"

    def check_fits(self, world: WorldSpec) -> None:
        """Make sure that it can play a world.

        Raises:
            WorldsimError: if that has another name, size or other actions than the one it was trained in.
        """
        theirs = PolicyConfig.of(world, self.config.stack)
        own, other = (_described(config) for config in (self.config, theirs))
        if own != other:
            raise WorldsimError(f"policy {self.name} plays {own}; this is {other}. Give one that was trained there.")

    def save(self, out: str | Path) -> None:
        """Write it as a folder, whole or not at all, in the place of an older one.

        Raises:
            WorldsimError: if `out` holds something else, or the disk is full.
        """
        with POLICY.staging(out) as folder:
            weights = {name: weight.detach().cpu().contiguous() for name, weight in self.network.state_dict().items()}
            (folder / WEIGHTS).write_bytes(storage.save(weights))
            content = {"config": dataclasses.asdict(self.config), "training": self.training}
            POLICY.write_manifest(folder, content)


def load_policy(name: str | Path) -> Policy:
    """Read what `Policy.save` wrote, or one that ships, by its name.

    Raises:
        WorldsimError: if it is not there, cut, changed, or its weights don't fit its network.
    """
    folder = Path(name)
    if not folder.exists() and str(name) in shipped_policies():
        folder = SHIPPED / name
    if not folder.exists():
        known = ", ".join(["random", "scripted", *shipped_policies()])
        raise WorldsimError(f"no policy {str(name)!r}: give {known}, or a folder of {POLICY.written_by}")
    manifest = POLICY.read_manifest(folder)
    try:
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in manifest["config"].items()}
        config, training, files = PolicyConfig(**fields), dict(manifest["training"]), dict(manifest["files"])
        network = Network(config)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise WorldsimError(
            f"{folder / POLICY.manifest} is not that of a policy ({error}). {POLICY.way_out}"
        ) from error
    POLICY.check_files(folder, {WEIGHTS: {"bytes": 0, "sha256": ""}, **files})
    try:
        network.load_state_dict(storage.load_file(folder / WEIGHTS))
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise WorldsimError(f"{folder / WEIGHTS} does not fit its network ({reason}). {POLICY.way_out}") from error
    return Policy(config, network.eval().requires_grad_(False), training, str(name))


def shipped_policies() -> list[str]:
    """Names of the policies that come with worldsim."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{POLICY.manifest}"))


class LearnedPlayer:
    """A policy before N rows: keeps their stacks of frames. What was before an episode's first frame is black.

    Args:
        policy: which must fit the world.
        rows: N.
        sample: draw the actions, instead of taking the likeliest.
    """

    def __init__(self, policy: Policy, rows: int, sample: bool = False):
        config = policy.config
        self._policy, self._sample = policy, sample
        self._stacks = np.zeros((rows, config.height, config.width, 3 * config.stack), np.uint8)
        self._actions, self._hold = np.zeros((2, rows), np.int64)
        self._chance = [np.random.default_rng(row) for row in range(rows)]

    def begin(self, rows: np.ndarray, seeds: Sequence[int]) -> None:
        """Forget what was seen in these rows."""
        self._stacks[rows], self._hold[rows] = 0, 0
        for row, seed in zip(rows, seeds, strict=True):
            self._chance[row] = np.random.default_rng(seed)

    def __call__(self, observations: np.ndarray, infos: dict[str, Any]) -> np.ndarray:
        """Look, and choose; or hold what was chosen."""
        rows = np.flatnonzero(self._hold == 0)
        self._hold = (self._hold - 1) % self._policy.config.repeat
        if len(rows):
            stacks = np.concatenate([self._stacks[rows][..., 3:], observations[rows]], axis=-1)
            with torch.inference_mode():
                logits = self._policy.network(torch.from_numpy(stacks).permute(0, 3, 1, 2))[0].numpy()
            if self._sample:  # the largest of logits and Gumbel noise is a draw from their softmax
                logits = logits + np.stack([self._chance[row].gumbel(size=logits.shape[1]) for row in rows])
            self._stacks[rows], self._actions[rows] = stacks, logits.argmax(1)
        return self._actions.copy()


def _chooser(config: PolicyConfig, outputs: int) -> nn.Sequential:
    """Features `[N, hidden]` -> `[N, outputs]`."""
    layers = [nn.Linear(config.hidden, config.choosing), nn.Tanh()] if config.choosing else []
    return nn.Sequential(*layers, nn.Linear(config.choosing or config.hidden, outputs))


def _mirrored(name: str) -> str:
    """An action's name, with left and right exchanged."""
    return re.sub("left|right", lambda side: "right" if side[0] == "left" else "left", name)


def _described(config: PolicyConfig) -> str:
    return f"{config.world!r}, {config.width}x{config.height}, {', '.join(config.actions)}"
