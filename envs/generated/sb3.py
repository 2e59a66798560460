"""A vector environment as Stable-Baselines3 wants it. Knows nothing of policies, and of worlds only their spaces.

    envs = gymnasium.make_vec("worldsim/DoomMaze-v0", num_envs=16, autoreset_mode="SameStep")
    PPO("CnnPolicy", VecMonitor(SB3VecEnv(envs))).learn(1_000_000)

N rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from worldsim.errors import WorldsimError, require

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv
else:
    VecEnv = require("stable_baselines3.common.vec_env", "rl").VecEnv

Indices = int | Iterable[int] | None


class SB3VecEnv(VecEnv):
    """A Gymnasium vector environment as a `VecEnv` of Stable-Baselines3: N rows, still stepped all at once.

    A row that ends begins again in the same step. Its info is that of the last frame, with `"terminal_observation"`,
    that frame; the info of the new first frame is in `reset_infos`. `"TimeLimit.truncated"` is in every info, true only
    where an episode was cut and not ended. Returns and lengths of episodes, as the algorithms log them, are
    `VecMonitor`'s.

    Args:
        envs: which resets in the same step: a `GeneratedVectorEnv`, or Gymnasium's own of a real world. (Gymnasium's
            vector wrappers of observations refuse such a one: wrap the adapter in Stable-Baselines3's instead.)

    Raises:
        WorldsimError: if stable_baselines3 is not installed (when this module is imported), `envs` is no vector
            environment, or resets in another way.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any]):
        if not isinstance(envs, VectorEnv):
            raise WorldsimError(f"{type(envs).__name__} is no vector environment: make it with gymnasium.make_vec()")
        mode = envs.metadata.get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            raise WorldsimError(
                f"autoreset_mode {getattr(mode, 'value', mode)}: Stable-Baselines3 expects a reset in the same step. "
                "Make the environment with autoreset_mode='SameStep'."
            )
        self.envs = envs
        self._actions = np.zeros(0, np.int64)
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self) -> np.ndarray:
        """Begin all rows, with the seeds and options set since the last time."""
        seeds = None if all(seed is None for seed in self._seeds) else self._seeds
        observations, infos = self.envs.reset(seed=seeds, options=_together(self._options))  # type: ignore[arg-type]
        self.reset_infos = [_row(infos, row) for row in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions, `[N]`, for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Observations, rewards float32 `[N]`, ends bool `[N]`, and an info a row.

        Raises:
            WorldsimError: for actions that the world has not.
        """
        observations, rewards, terminated, truncated, infos = self.envs.step(self._actions)
        ended = terminated | truncated
        seen = [_row(infos, row) for row in range(self.num_envs)]
        for row in np.flatnonzero(ended):
            last = seen[row].pop("final_obs")
            final = seen[row].pop("final_info")
            self.reset_infos[row] = seen[row]
            seen[row] = {**final, "terminal_observation": last}
        for info, cut in zip(seen, truncated & ~terminated, strict=True):
            info["TimeLimit.truncated"] = bool(cut)
        return observations, rewards.astype(np.float32), ended, seen

    def close(self) -> None:
        """Close the environment."""
        self.envs.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """The current frame of every row."""
        frames = self.envs.render()
        return [None] * self.num_envs if frames is None else [np.asarray(frame) for frame in frames]

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """An attribute of the environment, once for each row asked for."""
        value = getattr(self.envs, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Set an attribute of the environment, for all rows."""
        if indices is not None:
            raise WorldsimError(f"rows of one environment can't differ in {attr_name!r}: set it for all of them")
        setattr(self.envs, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Indices = None, **options: Any) -> list[Any]:
        """Refused: rows are not environments of their own."""
        raise WorldsimError(f"rows of one environment have no {method_name}(): call it on .envs, for all of them")

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: Indices = None) -> list[bool]:
        """False: rows are not environments of their own, so no wrapper is around one."""
        return [False for _ in self._get_indices(indices)]


def _row(infos: dict[str, Any], row: int) -> dict[str, Any]:
    """The info of one row of a vector environment: what its masks, `"_name"`, give to that row."""
    found: dict[str, Any] = {}
    for name, values in infos.items():
        mask = infos.get(f"_{name}")
        if not name.startswith("_") and (mask is None or mask[row]):
            found[name] = _row(values, row) if isinstance(values, dict) else values[row]
    return found


def _together(options: list[dict[str, Any]]) -> dict[str, Any]:
    """Options of rows as those of the vector: shared ones as they are, otherwise arrays of one value a row."""
    if all(own is options[0] for own in options):
        return options[0]
    if any(own.keys() != options[0].keys() for own in options):
        raise WorldsimError("options of rows differ in their names: give each row the same ones")
    return {name: np.array([own[name] for own in options]) for name in options[0]}
