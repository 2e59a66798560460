"""Many episodes of a generated world as one Gymnasium vector environment: one batched step for all rows.

Knows no real game and no torch. N rows, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from worldsim.errors import WorldsimError
from worldsim.runtime.base import Device
from worldsim_envs.base import check_options, whole_fps
from worldsim_envs.generated.dream import Clone, Dream, Play


class GeneratedVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """N episodes of a generated world, side by side.

        envs = gymnasium.make_vec("worldsim/DoomMaze-v0", num_envs=16)
        observations, infos = envs.reset(seed=7)                      # uint8 [16, H, W, 3]
        observations, rewards, terminated, truncated, infos = envs.step(envs.action_space.sample())

    Each row gives what a `GeneratedEnv` gives with the same seed, start and actions, up to the rounding of a batch:
    none on two CPU cores, elsewhere perhaps a few units of 255 in a pixel. Two runs of the same batch are identical.
    Values of infos are `[N]`, each beside its mask `"_name"`, as in Gymnasium's own vector environments; so are
    `final_obs` and `final_info`, in the same-step mode, where episodes have ended. In the next-step mode the action of
    a row that is being reset is ignored, but still has to be one.

    Args:
        world, runtime, device, recording, split, temperature, max_cumulative_uncertainty, ood, max_ood,
            imaginer: as for `GeneratedEnv`.
        num_envs: N.
        render_mode: "rgb_array" or None; a vector has no window.
        max_episode_steps: truncate an episode after so many; None for never.
        autoreset_mode: of Gymnasium: "NextStep", "SameStep" or "Disabled".

    Raises:
        WorldsimError: as `GeneratedEnv`, or for another mode, or without rows.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 15, "autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(
        self,
        world: str | Path,
        num_envs: int = 1,
        render_mode: str | None = None,
        runtime: str = "onnx",
        device: Device = "auto",
        recording: str | Path | None = None,
        split: str = "held-out",
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        temperature: float = 1.0,
        max_cumulative_uncertainty: float | None = None,
        ood: bool = False,
        max_ood: float | None = None,
        imaginer: str | Path = "",
        look: str = "",
    ):
        modes = [mode.value for mode in AutoresetMode]
        if num_envs < 1:
            raise WorldsimError(f"num_envs {num_envs}: give 1 or more")
        if render_mode not in (None, "rgb_array"):
            raise WorldsimError(f"no render_mode {render_mode!r} of many worlds; there are rgb_array and None")
        if autoreset_mode not in (*AutoresetMode, *modes):
            raise WorldsimError(f"no autoreset_mode {autoreset_mode!r}; there are {', '.join(modes)}")
        limits = max_cumulative_uncertainty, ood, max_ood
        self._dream = Dream(
            world,
            runtime,
            device,
            recording,
            split,
            max_episode_steps,
            temperature,
            *limits,
            imaginer=imaginer,
            look=look,
        )
        self.world, self.origin = self._dream.world, self._dream.origin
        self.num_envs, self.render_mode = num_envs, render_mode
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "render_fps": whole_fps(self.world), "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = gym.spaces.Box(0, 255, (self.world.height, self.world.width, 3), np.uint8)
        self.single_action_space = gym.spaces.Discrete(len(self.world.actions))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._chance, self._seeds = map(list, zip(*(seeding.np_random() for _ in range(num_envs)), strict=True))
        self._play: Play | None = None

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The random generator of each row."""
        return tuple(self._chance)

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seed each of them was made from; -1 after `restore_state`."""
        return tuple(self._seeds)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin rows anew; the others stay as they are.

        Args:
            seed: one for each row; a single one is the first row's, and the others' are those after it.
            options: `{"reset_mask": bool [N]}` are the rows, otherwise all; `{"start": i}` begins there, or integers
                `[N]`, each row at its own; `{"prompt": words}` and `{"image": uint8 [h, w, 3]}` begin there, or lists
                of N, of which some may be None.

        Raises:
            WorldsimError: for a mask, seeds or starts of another shape or type, a start that there is not, or another
                option.
            ClosedEnvironmentError: after `close`.
            ResetNeeded: if only some rows are to be reset before all of them were.
        """
        self._check_open("reset()")
        options = options or {}
        check_options(options, ("start", "reset_mask", "prompt", "image"))
        rows = self._mask(options.get("reset_mask"))
        starts, given = self._starts(options.get("start")), self._dream.given(options, self.num_envs)
        seeds = self._seeded(seed)
        for row in np.flatnonzero(rows):
            if seeds[row] is not None:
                self._chance[row], self._seeds[row] = seeding.np_random(seeds[row])
        self._play = self._renew(self._play, rows, starts, given)
        infos = _masked(self._play, rows)
        if given is not None:
            there = rows & np.array([row is not None for row in given])
            for name, values in self._dream.strangeness(self._play).items():
                infos[name], infos[f"_{name}"] = np.where(there, values, np.zeros_like(values)), there.copy()
        return self._dream.observe(self._play).copy(), infos

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Generate the next frame of every row.

        Args:
            actions: integers `[N]`.

        Returns:
            observations uint8 `[N, H, W, 3]`, rewards float64 `[N]`, terminated and truncated bool `[N]`, infos.

        Raises:
            WorldsimError: for actions of another shape or type, or one that the world has not; nothing has changed.
            ResetNeeded: before a reset, or with autoreset disabled while a row is at its end.
            ClosedEnvironmentError: after `close`.
        """
        self._check_open("step()")
        before = self._begun("step()")
        over = np.logical_or(*self._dream.ends(before))
        if self.autoreset_mode == AutoresetMode.DISABLED and over.any():
            raise gym.error.ResetNeeded(
                f"rows {np.flatnonzero(over).tolist()} are at their end: reset them, options={{'reset_mask': ...}}"
            )
        play = self._dream.step(before, actions)
        if self.autoreset_mode == AutoresetMode.NEXT_STEP and over.any():
            play = self._renew(play, over)
        reward, (terminated, truncated) = play.reward.copy(), self._dream.ends(play)
        over, final = terminated | truncated, {}
        if self.autoreset_mode == AutoresetMode.SAME_STEP and over.any():
            last, frames = np.full(self.num_envs, None, object), self._dream.observe(play)
            for row in np.flatnonzero(over):
                last[row] = frames[row].copy()
            final = {
                "final_obs": last,
                "_final_obs": over,
                "final_info": _masked(play, over),
                "_final_info": over.copy(),
            }
            play = self._renew(play, over)
        self._play = play
        infos = _masked(play, np.ones(self.num_envs, np.bool_))
        return self._dream.observe(play).copy(), reward, terminated, truncated, {**final, **infos}

    def clone_state(self) -> Clone:
        """All rows and their random generators, as a value: keep it, pickle it, restore it as often as you like."""
        return self._dream.clone(self._begun("clone_state()"), self._chance)

    def restore_state(self, clone: Clone) -> tuple[np.ndarray, dict[str, Any]]:
        """Go on where `clone_state` was called, bit for bit; observations and infos are those of that moment.

        Raises:
            WorldsimError: for a state of another world or number of rows, or something else.
        """
        self._play, self._chance = self._dream.restore(clone, self.num_envs)
        self._seeds = [-1] * self.num_envs
        return self._dream.observe(self._play).copy(), _masked(self._play, np.ones(self.num_envs, np.bool_))

    def render(self) -> tuple[np.ndarray, ...] | None:
        """The current frame of every row."""
        if self.render_mode is None or self._play is None:
            return None
        return tuple(frame.copy() for frame in self._dream.observe(self._play))

    def _check_open(self, what: str) -> None:
        if self.closed:
            raise gym.error.ClosedEnvironmentError(f"{what} of {self.num_envs} {self.world.name} that were closed")

    def _begun(self, what: str) -> Play:
        if self._play is None:
            raise gym.error.ResetNeeded(f"call reset() before {what}")
        return self._play

    def _renew(
        self,
        play: Play | None,
        rows: np.ndarray,
        starts: Sequence[int | None] | None = None,
        given: Sequence[str | np.ndarray | None] | None = None,
    ) -> Play:
        some = np.flatnonzero(rows).tolist()
        if play is None and len(some) < self.num_envs:
            raise gym.error.ResetNeeded("call reset() for all rows before you reset some of them")
        fresh = self._dream.begin(
            [self._chance[i] for i in some],
            [starts[i] if starts else None for i in some],
            [given[i] for i in some] if given else None,
        )
        return fresh if play is None or rows.all() else self._dream.put(play, rows, fresh)

    def _mask(self, mask: Any) -> np.ndarray:
        if mask is None:
            return np.ones(self.num_envs, np.bool_)
        found = np.asarray(mask)
        if found.shape != (self.num_envs,) or found.dtype != np.bool_ or not found.any():
            none = ", with no row to reset" if found.dtype == np.bool_ and not found.any() else ""
            raise WorldsimError(
                f"reset_mask {found.dtype} {list(found.shape)}{none}: give bool [{self.num_envs}], true for some rows"
            )
        return found

    def _seeded(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, (int, np.integer)):
            return [int(seed) + row for row in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise WorldsimError(f"{len(seed)} seeds: give one, or {self.num_envs}, one a row")
        return [None if own is None else int(own) for own in seed]

    def _starts(self, start: Any) -> list[int | None]:
        if start is None:
            return [None] * self.num_envs
        found = np.asarray(start)
        if found.shape not in ((), (self.num_envs,)) or not np.issubdtype(found.dtype, np.integer):
            raise WorldsimError(
                f"start {found.dtype} {list(found.shape)}: give an integer, or {self.num_envs}, one a row"
            )
        return [int(i) for i in np.broadcast_to(found, self.num_envs)]


def _masked(play: Play, rows: np.ndarray) -> dict[str, Any]:
    """Infos as Gymnasium's vector environments have them: `"name"`, 0 but in these rows, and `"_name"`, the rows."""
    infos: dict[str, Any] = {}
    for name, values in play.info().items():
        infos[name], infos[f"_{name}"] = np.where(rows, values, np.zeros_like(values)), rows.copy()
    return infos
