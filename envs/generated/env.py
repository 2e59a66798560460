"""The generated worlds as Gymnasium environments: a dream in Gymnasium's words. Knows no real game and no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from worldsim.runtime.base import Device
from worldsim_envs.generated.dream import Clone, Dream, Play
from worldsim_envs.window import Window


class GeneratedEnv(gym.Env[np.ndarray, np.int64]):
    """A world that no game engine draws.

        env = gymnasium.make("worldsim/DoomMaze-v0")
        observation, info = env.reset(seed=7, options={"start": 3})

    Observations are uint8 RGB `[H, W, 3]`; the actions and their order are those of the real world. The reward is the
    expected one, a float. `terminated` is drawn from the probability that play goes on. `info` has
    `"start"`, which of the starts play began at; `"steps_since_real"`, generated frames since that start's last real
    one; `"uncertainty"`, how undecided the world was about this frame, in standard deviations of a latent; `"doubt"`,
    that of all frames since the last real one, summed up; `"continue"`, the probability that play goes on; and
    `"return"`, the rewards so far. What uncertainty and doubt say of errors is in each world's card.

    A start is drawn from the seed unless `options` name one; the same seed, start and actions give the same frames.
    Copies and pickles go on where the original is; copies share its networks. `envs/generated/vector.py` plays many at once.

    Args:
        world: a shipped world's name, or the folder of a bundle.
        render_mode: "rgb_array", "human" (a window) or None.
        runtime: "onnx", "torch" or "batch", see `worldsim.runtime.base.load_runtime`.
        device: "auto", "cpu" or "cuda".
        recording: begin anywhere in these episodes, instead of at the world's own starts.
        split: of the recording: "held-out", "train" or "all".
        max_episode_steps: truncate an episode after so many; None for never. (Given to `gymnasium.make`, it becomes a
            wrapper instead, whose counter `clone_state` doesn't know.)
        temperature: of the noise that a frame starts from, as a multiple of the world's own, 0 or more.
        most_doubt: truncate an episode once its doubt is larger; None for never.
        ood: add `"ood"` to the info: how unlike the frames that the world learned from this one is, in standard
            deviations of a latent (`Session.ood`). It costs about a fifth of a step.
        most_ood: the same, and truncate an episode once that is larger; None for never.

    Raises:
        WorldsimError: if the world, the device or the recording is not there or not whole, the two don't fit, or the
            temperature is none.
    """

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 15}

    def __init__(
        self,
        world: str | Path,
        render_mode: str | None = None,
        runtime: str = "onnx",
        device: Device = "auto",
        recording: str | Path | None = None,
        split: str = "held-out",
        max_episode_steps: int | None = None,
        temperature: float = 1.0,
        most_doubt: float | None = None,
        ood: bool = False,
        most_ood: float | None = None,
    ):
        self._dream = Dream(
            world, runtime, device, recording, split, max_episode_steps, temperature, most_doubt, ood, most_ood
        )
        self.world, self.origin = self._dream.world, self._dream.origin
        self.metadata = {**self.metadata, "render_fps": self.world.fps}
        self.render_mode = render_mode
        self.observation_space = gym.spaces.Box(0, 255, (self.world.height, self.world.width, 3), np.uint8)
        self.action_space = gym.spaces.Discrete(len(self.world.actions))
        self._window = Window(self.world, render_mode)
        self._play: Play | None = None

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
        return self._see(self._dream.begin([self.np_random], [(options or {}).get("start")]))

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Generate the next frame.

        Raises:
            WorldsimError: for an action the world has not.
        """
        play = self._dream.step(self._begun("step()"), np.array([action]))
        observation, info = self._see(play)
        terminated, truncated = self._dream.ends(play)
        return observation, float(play.reward[0]), bool(terminated[0]), bool(truncated[0]), info

    def clone_state(self) -> Clone:
        """All of it, random generator too, as a value: keep it, pickle it, restore it as often as you like."""
        return self._dream.clone(self._begun("clone_state()"), [self.np_random])

    def restore_state(self, clone: Clone) -> tuple[np.ndarray, dict[str, Any]]:
        """Go on where `clone_state` was called, bit for bit; observation and info are those of that moment.

        Raises:
            WorldsimError: for a state of another world, or something else.
        """
        play, (self.np_random,) = self._dream.restore(clone, 1)
        return self._see(play)

    def render(self) -> np.ndarray | None:
        """The current frame, or None in a window, which shows it by itself."""
        if self.render_mode != "rgb_array" or self._play is None:
            return None
        return self._play.state.frame[0].copy()

    def close(self) -> None:
        """Close the window, if there is one."""
        self._window.close()

    def get_keys_to_action(self) -> dict[tuple[int, ...], int]:
        """Key codes held -> action, for `gymnasium.utils.play`."""
        return self._window.keys_to_action()

    def _begun(self, what: str) -> Play:
        if self._play is None:
            raise gym.error.ResetNeeded(f"call reset() before {what}")
        return self._play

    def _see(self, play: Play) -> tuple[np.ndarray, dict[str, Any]]:
        self._play = play
        self._window.show(play.state.frame[0])
        return play.state.frame[0].copy(), {name: values[0].item() for name, values in play.info().items()}
