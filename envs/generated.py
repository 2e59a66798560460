"""The generated worlds as Gymnasium environments: a session in Gymnasium's words. Knows no real game and no torch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from worldsim.bundle import open_world
from worldsim.runtime import Device, load_runtime
from worldsim.session import Session, State
from worldsim_envs.window import Window

ENDS_BELOW = 0.5  # probability that play goes on


class GeneratedEnv(gym.Env[np.ndarray, np.int64]):
    """A world that no game engine draws.

        env = gymnasium.make("worldsim/DoomMaze-v0")
        observation, info = env.reset(seed=7, options={"start": 3})

    Observations are uint8 RGB `[H, W, 3]`; the actions and their order are those of the real world. The reward is the
    expected one, a float. `terminated` is true once the probability that play goes on falls below one half; nothing is
    ever truncated. `info` has `"start"`, which of the world's starts play began at; `"steps_since_real"`, generated
    frames since that start's last real one; and `"continue"`, the probability that play goes on.

    A start is drawn from the seed unless `options` name one; the same seed, start and actions give the same frames.

    Args:
        world: a shipped world's name, or the folder of a bundle.
        render_mode: "rgb_array", "human" (a window) or None.
        runtime: "onnx", or "torch" for the reference.
        device: "auto", "cpu" or "cuda".

    Raises:
        WorldsimError: if the world or the device is not there, or the world is not whole.
    """

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 15}

    def __init__(
        self,
        world: str | Path,
        render_mode: str | None = None,
        runtime: str = "onnx",
        device: Device = "auto",
    ):
        bundle = open_world(world)
        self.world = dataclasses.replace(bundle.spec, state_names=())  # nobody knows a generated world's exact state
        self.origin = bundle.origin
        self.metadata = {**self.metadata, "render_fps": self.world.fps}
        self.render_mode = render_mode
        self.observation_space = gym.spaces.Box(0, 255, (self.world.height, self.world.width, 3), np.uint8)
        self.action_space = gym.spaces.Discrete(len(self.world.actions))
        self._session = Session(load_runtime(bundle, runtime, device))
        self._starts = len(bundle.starts)
        self._window = Window(self.world, render_mode)
        self._state: State | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin at a start; its last frame is real, all that follow are generated.

        Args:
            seed: of the start drawn and of all chance in the frames to come.
            options: `{"start": i}` begins at that one.

        Raises:
            WorldsimError: for a start the world has not.
        """
        super().reset(seed=seed)
        chance, drawn = int(self.np_random.integers(2**63)), int(self.np_random.integers(self._starts))
        self._start = int((options or {}).get("start", drawn))
        return self._see(self._session.start([self._start], [chance]), 1.0)

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Generate the next frame.

        Raises:
            WorldsimError: for an action the world has not.
        """
        if self._state is None:
            raise gym.error.ResetNeeded("call reset() before step()")
        state, seen = self._session.step(self._state, np.array([action]))
        observation, info = self._see(state, float(seen.cont[0]))
        return observation, float(seen.reward[0]), info["continue"] < ENDS_BELOW, False, info

    def render(self) -> np.ndarray | None:
        """The current frame, or None in a window, which shows it by itself."""
        if self.render_mode != "rgb_array" or self._state is None:
            return None
        return self._state.frame[0].copy()

    def close(self) -> None:
        """Close the window, if there is one."""
        self._window.close()

    def get_keys_to_action(self) -> dict[tuple[int, ...], int]:
        """Key codes held -> action, for `gymnasium.utils.play`."""
        return self._window.keys_to_action()

    def _see(self, state: State, cont: float) -> tuple[np.ndarray, dict[str, Any]]:
        self._state = state
        self._window.show(state.frame[0])
        info = {"start": self._start, "steps_since_real": int(state.index[0]), "continue": cont}
        return state.frame[0].copy(), info
