"""The Policy protocol, policies that need no knowledge of a world, and how a policy is made by name.

    policy = make_policy(find_policy("policies/maze"), world, rows=16)
    policy.begin(np.arange(16), seeds=range(16))
    actions = policy.act(observations, infos)

N rows (environments that are stepped together), H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from worldsim.errors import WorldsimError
from worldsim.spec import WorldSpec
from worldsim_envs.registry import WORLDS, load, world_entry

if TYPE_CHECKING:
    from worldsim_policies.learned.policy import TrainedPolicy
    from worldsim_policies.learned.state_targets import StateTargets


class Policy(Protocol):
    """Chooses the actions of N rows. All randomness within an episode comes from the seed that it began with."""

    def begin(self, rows: np.ndarray, seeds: Sequence[int]) -> None:
        """New episodes begin in these rows, integers `[n]`, with these seeds. Called before the first `act`."""

    def act(self, observations: np.ndarray, infos: dict[str, Any]) -> np.ndarray:
        """Frames uint8 `[N, H, W, 3]`, and infos as a Gymnasium vector environment returns them -> int64 `[N]`."""


Explorer = Callable[[np.ndarray, dict[str, Any]], int]
"""A scripted policy for one episode of one environment: frame uint8 `[H, W, 3]` and its info -> action."""


class PerRowPolicy:
    """N explorers behind the batched protocol: each episode of each row gets a new one.

    Args:
        make: makes an explorer; all its randomness comes from the generator.
        rows: N.
    """

    def __init__(self, make: Callable[[np.random.Generator], Explorer], rows: int):
        self._make = make
        self._explorers = [make(np.random.default_rng(row)) for row in range(rows)]

    def begin(self, rows: np.ndarray, seeds: Sequence[int]) -> None:
        """Replace the explorers of these rows."""
        for row, seed in zip(rows, seeds, strict=True):
            self._explorers[row] = self._make(np.random.default_rng(seed))

    def act(self, observations: np.ndarray, infos: dict[str, Any]) -> np.ndarray:
        """Ask each explorer, with its row's frame and info."""
        explorers = enumerate(self._explorers)
        return np.array([explore(observations[row], info_of_row(infos, row)) for row, explore in explorers], np.int64)


class RandomPolicy:
    """Uniformly random actions, drawn anew at every step.

    Args:
        actions: how many there are.
        rows: N.
    """

    def __init__(self, actions: int, rows: int):
        self._actions = actions
        self._rngs = [np.random.default_rng(row) for row in range(rows)]

    def begin(self, rows: np.ndarray, seeds: Sequence[int]) -> None:
        """Seed these rows."""
        for row, seed in zip(rows, seeds, strict=True):
            self._rngs[row] = np.random.default_rng(seed)

    def act(self, observations: np.ndarray, infos: dict[str, Any]) -> np.ndarray:
        """Draw an action for each row."""
        return np.array([rng.integers(self._actions) for rng in self._rngs], np.int64)


class StickyExplorer:
    """Random actions, each held for a random number of frames: the explorer of a world that has none of its own.

    Args:
        actions: how many there are.
        rng: of the actions and how long they are held.
        longest: frames that an action is held at most.
    """

    def __init__(self, actions: int, rng: np.random.Generator, longest: int = 12):
        self._actions, self._rng, self._longest = actions, rng, longest
        self._action = self._left = 0

    def __call__(self, observation: np.ndarray, info: dict[str, Any]) -> int:
        """The held action, or a new one."""
        if self._left == 0:
            self._action = int(self._rng.integers(self._actions))
            self._left = int(self._rng.integers(1, self._longest + 1))
        self._left -= 1
        return self._action


class StickyPolicy(PerRowPolicy):
    """`StickyExplorer` in N rows.

    Args:
        actions: how many there are.
        rows: N.
    """

    def __init__(self, actions: int, rows: int):
        super().__init__(lambda rng: StickyExplorer(actions, rng), rows)


def make_explorer(world_name: str, rng: np.random.Generator, actions: int | None = None) -> Explorer:
    """An explorer for one episode of a world.

    Args:
        world_name: for example `"doom-maze"`.
        rng: of all its random choices.
        actions: how many the world has; a world without an explorer of its own gets a `StickyExplorer`.

    Raises:
        WorldsimError: if the world has no explorer and `actions` is not given.
    """
    if entry_point := world_entry(world_name).explorer:
        explorer: Explorer = load(entry_point)(rng)
        return explorer
    if actions is None:
        raise WorldsimError(f"no explorer for {world_name!r}; there are {', '.join(_explored())}")
    return StickyExplorer(actions, rng)


def _explored() -> list[str]:
    return [name for name, entry in WORLDS.items() if entry.explorer]


def state_targets(world_name: str) -> StateTargets | None:
    """What an encoder of this world is pretrained to predict besides the exact state, if there is anything."""
    entry_point = world_entry(world_name).state_targets
    targets: StateTargets | None = load(entry_point) if entry_point else None
    return targets


BUILTIN = ("random", "sticky", "scripted")


def find_policy(name: str) -> str | TrainedPolicy:
    """What `make_policy` takes: "random", "sticky" or "scripted", or the trained policy of that name or in that folder.

    Raises:
        WorldsimError: if there is no such policy, or its folder is incomplete or damaged.
    """
    if name in BUILTIN:
        return name
    from worldsim_policies.learned.policy import load_policy

    return load_policy(name)


def make_policy(source: str | TrainedPolicy, world: WorldSpec, rows: int, sample: bool = False) -> Policy:
    """A policy for N rows of a world.

    Args:
        source: from `find_policy`.
        world: what it is to play. The scripted policy needs its exact state (`state_names`).
        rows: N.
        sample: a trained policy draws its actions from its distribution, instead of taking the most likely.

    Raises:
        WorldsimError: if it can't play that world.
    """
    if source == "random":
        return RandomPolicy(len(world.actions), rows)
    if source == "sticky":
        return StickyPolicy(len(world.actions), rows)
    if isinstance(source, str):
        entry = world_entry(world.name)
        if not entry.explorer:
            raise WorldsimError(f"no scripted policy for {world.name!r}; there are some for {', '.join(_explored())}")
        if not world.state_names:
            raise WorldsimError("the scripted policy reads the exact state of a game; a generated world has none")
        return PerRowPolicy(load(entry.expert or entry.explorer), rows)
    from worldsim_policies.learned.policy import LearnedPolicy

    source.check_fits(world)
    return LearnedPolicy(source, rows, sample)


def info_of_row(infos: dict[str, Any], row: int) -> dict[str, Any]:
    """The info of one row, from those of a vector environment: the values that their mask, `"_name"`, grants it."""
    info: dict[str, Any] = {}
    for name, values in infos.items():
        mask = infos.get(f"_{name}")
        if not name.startswith("_") and (mask is None or mask[row]):
            info[name] = info_of_row(values, row) if isinstance(values, dict) else values[row]
    return info


def merge_infos(before: dict[str, Any], new: dict[str, Any], rows: np.ndarray) -> dict[str, Any]:
    """Infos of a vector environment, with those of some rows replaced.

    Args:
        before: values `[N, ...]`; a name that is missing is taken for zeros.
        new: values `[N, ...]`.
        rows: bool `[N]`, the rows that are taken from `new`.
    """
    merged = dict(before)
    for name, values in new.items():
        if isinstance(values, dict):
            merged[name] = merge_infos(before.get(name, {}), values, rows)
        else:
            of_rows = rows.reshape(-1, *[1] * (values.ndim - 1))
            merged[name] = np.where(of_rows, values, before.get(name, np.zeros_like(values)))
    return merged
