"""The generated worlds as Gymnasium environments. Knows no real game and no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from worldsim.runtime.base import Device
from worldsim_envs.base import Moment, WorldEnv
from worldsim_envs.generated.dream import Clone, Dream, Play


class GeneratedEnv(WorldEnv):
    """A world that no game engine draws.

        env = gymnasium.make("worldsim/DoomMaze-v0")
        observation, info = env.reset(seed=7, options={"start": 3})

    Observations are uint8 RGB `[H, W, 3]`; the actions and their order are those of the real world. The reward is the
    expected one, a float. `terminated` is drawn from the predicted probability that the episode ends. `info` has
    `"start"`, which of the starts the episode began at; `"steps_since_real"`, generated frames since that start's last
    real one; `"uncertainty"` of this frame, in standard deviations of a latent; `"cumulative_uncertainty"`, the sum of
    it since the last real frame; `"continue"`, the probability that the episode goes on; and `"return"`, the rewards so
    far. Each world's card says how well the two uncertainties predict errors.

    A start is drawn from the seed unless `reset(options={"start": i})` names one; its last frame is real, all that
    follow are generated. `reset(options={"prompt": "a red ball"})` begins with a picture painted of these words, and
    `{"image": array}` with one of any size, uint8 RGB; `info` then has `"start"` -1, and `"strangeness"` and
    `"strange"`: how unlike the world's own pictures it is, and whether it is unlike anything learned. The same seed,
    beginning and actions give the same frames. Copies and pickles go on where the original is; copies share its
    networks. `envs/generated/vector.py` plays many at once.

    Args:
        world: a shipped world's name, or the folder of a bundle.
        render_mode: "rgb_array", "human" (a window) or None.
        runtime: "onnx", "torch" or "batch", see `worldsim.runtime.load.load_runtime`.
        device: "auto", "cpu" or "cuda".
        recording: begin anywhere in these episodes, instead of at the world's own starts.
        split: of the recording: "held-out", "train" or "all".
        max_episode_steps: truncate an episode after so many; None for never. (Given to `gymnasium.make`, it becomes a
            wrapper instead, whose counter `clone_state` doesn't know.)
        temperature: of the noise that a frame starts from, as a multiple of the world's own, 0 or more.
        max_cumulative_uncertainty: truncate an episode once that is larger; None for never.
        ood: add `"ood"` to the info: how unlike the training frames this one is, in standard deviations of a latent
            (`Session.ood`). It costs about a fifth of a step.
        max_ood: the same, and truncate an episode once that is larger; None for never.
        imaginer: what paints pictures of words: a shipped imaginer's name, or the folder of one; "" for a shipped
            one that draws the world.
        look: draw observations in this look of the world, "night" for example; the state stays what it was.

    Raises:
        WorldsimError: if the world, the device or the recording is not there or not whole, the two don't fit, or the
            temperature is none; of a reset, for a start that the world has not, words without an imaginer that draws
            this world, or something that is no picture.
    """

    reset_options = ("start", "prompt", "image")

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
        max_cumulative_uncertainty: float | None = None,
        ood: bool = False,
        max_ood: float | None = None,
        imaginer: str | Path = "",
        look: str = "",
    ):
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
        super().__init__(self._dream.world, self._dream.origin, render_mode)
        self._play: Play | None = None

    def _reset(self, seed: int | None, options: dict[str, Any]) -> Moment:
        given = self._dream.given(options, 1)
        frame, info = self._at(self._dream.begin([self.np_random], [options.get("start")], given))
        if given is not None:
            info |= {name: values[0].item() for name, values in self._dream.strangeness(self._begun("_reset")).items()}
        return frame, info

    def _step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Generate the next frame."""
        play = self._dream.step(self._begun("step()"), np.array([action]))
        frame, info = self._at(play)
        terminated, truncated = self._dream.ends(play)
        return frame, float(play.reward[0]), bool(terminated[0]), bool(truncated[0]), info

    def clone_state(self) -> Clone:
        """All of it, random generator too, as a value: keep it, pickle it, restore it as often as you like."""
        return self._dream.clone(self._begun("clone_state()"), [self.np_random])

    def restore_state(self, clone: Clone) -> Moment:
        """Go on where `clone_state` was called, bit for bit; observation and info are those of that moment.

        Raises:
            WorldsimError: for a state of another world, or something else.
            ClosedEnvironmentError: after `close`.
        """
        self._check_open("restore_state()")
        play, (self.np_random,) = self._dream.restore(clone, 1)
        moment = self._enter(self._at(play))
        self._over = bool(np.logical_or(*self._dream.ends(play))[0])
        return moment

    def _begun(self, what: str) -> Play:
        if self._play is None:
            raise gym.error.ResetNeeded(f"call reset() before {what}")
        return self._play

    def _at(self, play: Play) -> Moment:
        self._play = play
        return self._dream.observe(play)[0], {name: values[0].item() for name, values in play.info().items()}
