"""Learned policy: its folder on disk, and how it plays N rows. Knows no training but the facts that are stored with it.

policy.json           config (world, frames, actions, network sizes), training facts, size and sha256 of the weights
policy.safetensors    the weights, float32
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worldsim.artifact import ArtifactKind
from worldsim.errors import WorldsimError, require
from worldsim.safe_read import read_safetensors
from worldsim.spec import WorldSpec
from worldsim_policies.base import BUILTIN
from worldsim_policies.learned.network import ActorCritic, PolicyConfig

if TYPE_CHECKING:
    import torch
    from safetensors import torch as storage
else:
    torch = require("torch", "rl")
    storage = require("safetensors.torch", "rl")

POLICY = ArtifactKind(
    noun="a policy",
    manifest="policy.json",
    format=1,
    written_by="worldsim train agent",
    way_out="Train the agent again, or fetch it again if it came from somewhere.",
)
WEIGHTS = "policy.safetensors"
SHIPPED = Path(__file__).parents[1] / "agents"

# Names in the folders of older policies -> today's. To be removed when the policy that ships is trained again.
_LEGACY_KEYS = {
    "mirror": "symmetric",
    "choosing": "head_width",
    "eye": "encoder",
    "policy": "policy_head",
    "value": "value_head",
}


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedPolicy:
    """A trained network, and how it was trained.

    Attributes:
        config: of the network.
        network: in evaluation mode.
        training: facts, plain JSON: environment, seed, steps, temperature, versions.
        name: its folder, for messages.
    """

    config: PolicyConfig
    network: ActorCritic
    training: dict[str, Any]
    name: str = "policy"

    def check_fits(self, world: WorldSpec) -> None:
        """Make sure that it can play a world.

        Raises:
            WorldsimError: if the world has another name, size or other actions than the one it was trained in.
        """
        own, other = _description(self.config), _description(PolicyConfig.of(world, self.config.stack))
        if own != other:
            raise WorldsimError(
                f"policy {self.name} plays {own}; this is {other}. Give a policy trained in this world."
            )

    def save(self, out: str | Path) -> None:
        """Write it as a folder, whole or not at all; an older policy there is replaced.

        Raises:
            WorldsimError: if `out` holds something else, or the disk is full.
        """
        with POLICY.staging(out) as folder:
            weights = {name: weight.detach().cpu().contiguous() for name, weight in self.network.state_dict().items()}
            (folder / WEIGHTS).write_bytes(storage.save(weights))
            content = {"config": dataclasses.asdict(self.config), "training": self.training}
            POLICY.write_manifest(folder, content)


class LearnedPolicy:
    """A trained policy for N rows (see `Policy`): keeps their frame stacks; frames before an episode's first are black.

    Args:
        trained: must fit the world.
        rows: N.
        sample: draw actions from the distribution, instead of taking the most likely.
    """

    def __init__(self, trained: TrainedPolicy, rows: int, sample: bool = False):
        config = trained.config
        self._network, self._repeat, self._sample = trained.network, config.repeat, sample
        self._stacks = np.zeros((rows, config.height, config.width, 3 * config.stack), np.uint8)
        self._actions, self._age = np.zeros((2, rows), np.int64)
        self._rngs = [np.random.default_rng(row) for row in range(rows)]

    def begin(self, rows: np.ndarray, seeds: Sequence[int]) -> None:
        """Clear the frame stacks of these rows, and seed them."""
        self._stacks[rows], self._age[rows] = 0, 0
        for row, seed in zip(rows, seeds, strict=True):
            self._rngs[row] = np.random.default_rng(seed)

    def act(self, observations: np.ndarray, infos: dict[str, Any]) -> np.ndarray:
        """Choose actions where the last one has been held for `repeat` frames; hold it elsewhere. Infos are ignored."""
        rows = np.flatnonzero(self._age == 0)
        self._age = (self._age + 1) % self._repeat
        if len(rows):
            stacks = np.concatenate([self._stacks[rows][..., 3:], observations[rows]], axis=-1)
            with torch.inference_mode():
                logits = self._network(torch.from_numpy(stacks).permute(0, 3, 1, 2))[0].numpy()
            if self._sample:  # argmax of logits plus Gumbel noise is a sample of their softmax
                logits = logits + np.stack([self._rngs[row].gumbel(size=logits.shape[1]) for row in rows])
            self._stacks[rows], self._actions[rows] = stacks, logits.argmax(1)
        return self._actions.copy()


def load_policy(name: str | Path) -> TrainedPolicy:
    """Read what `TrainedPolicy.save` wrote, or a policy that ships, by its name.

    Raises:
        WorldsimError: if it is missing, cut or changed, or its weights don't fit its network.
    """
    folder = Path(name)
    if not folder.exists() and str(name) in shipped_policies():
        folder = SHIPPED / name
    if not folder.exists():
        known = ", ".join([*BUILTIN, *shipped_policies()])
        raise WorldsimError(f"no policy {str(name)!r}: give {known}, or a folder of {POLICY.written_by}")
    manifest = POLICY.read_manifest(folder)
    try:
        config = PolicyConfig(**_config_fields(manifest["config"]))
        training, files = dict(manifest["training"]), dict(manifest["files"])
        network = ActorCritic(config)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise WorldsimError(
            f"{folder / POLICY.manifest} does not describe a policy ({error}). {POLICY.way_out}"
        ) from error
    POLICY.check_files(folder, {WEIGHTS: {"bytes": 0, "sha256": ""}, **files})
    weights, _ = read_safetensors(folder / WEIGHTS, POLICY.way_out, "pt")
    try:
        network.load_state_dict({_weight_name(stored): weight for stored, weight in weights.items()})
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise WorldsimError(f"{folder / WEIGHTS} does not fit its network ({reason}). {POLICY.way_out}") from error
    return TrainedPolicy(config, network.eval().requires_grad_(False), training, str(name))


def shipped_policies() -> list[str]:
    """Names of the policies that come with worldsim."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{POLICY.manifest}"))


def _config_fields(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `PolicyConfig` from JSON."""
    return {_LEGACY_KEYS.get(k, k): tuple(v) if isinstance(v, list) else v for k, v in stored.items()}


def _weight_name(stored: str) -> str:
    """The name of a stored weight in the network: its first part is the module."""
    module, dot, rest = stored.partition(".")
    return _LEGACY_KEYS.get(module, module) + dot + rest


def _description(config: PolicyConfig) -> str:
    return f"{config.world!r}, {config.width}x{config.height}, {', '.join(config.actions)}"
