"""PPO of Stable-Baselines3 on rows of a world, imagined or real; what comes out is a policy of ours, no pickle.

Knows no command line and no file but the curves.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import platform
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from worldsim.errors import WorldsimError, require
from worldsim_envs.sources import world_of

if TYPE_CHECKING:
    from worldsim_policies.learned.policy import Eye, Policy


@dataclasses.dataclass(frozen=True)
class PPOTraining:
    """How an agent is trained.

    Attributes:
        steps: frames played, of all rows together; rounded up to whole updates.
        seed: of the weights, the worlds and the draws.
        repeat: for how many frames it holds what it chose.
        stack: how many frames it sees: the newest of those on which it chose.
        mirror: it answers a picture in a mirror by the same choice in a mirror; for worlds that look alike from both
            sides, where it learns of left what it learns of right.
        rollout: choices of each row between two updates.
        batch: choices of a gradient step.
        epochs: times that an update goes through what was played.
        rate: learning rate at first; it falls to 0.
        discount: what a reward of the next choice is worth now.
        trace: of how long an action is judged by what really came, and not by what was expected then (lambda of
            generalised advantage estimation, Schulman et al. 2016): 1 for ever, 0 for one frame.
        entropy: what it is worth to stay undecided.
    """

    steps: int = 1_000_000
    seed: int = 0
    repeat: int = 1
    stack: int = 4
    mirror: bool = False
    rollout: int = 128
    batch: int = 256
    epochs: int = 4
    rate: float = 5e-4
    discount: float = 0.99
    trace: float = 0.95
    entropy: float = 0.01

    def check(self) -> None:
        """Make sure that it is possible.

        Raises:
            WorldsimError: for a number that is none of these.
        """
        for name in ("steps", "repeat", "stack", "rollout", "batch", "epochs"):
            if getattr(self, name) < 1:
                raise WorldsimError(f"{name} {getattr(self, name)}: give 1 or more")
        shares = self.discount, self.trace
        if self.seed < 0 or not self.rate > 0 or not self.entropy >= 0 or not all(0 <= share <= 1 for share in shares):
            raise WorldsimError("seed and entropy are 0 or more, rate is above 0, discount and trace 0 to 1")


def learn(
    envs: VectorEnv[Any, Any, Any],
    training: PPOTraining,
    facts: dict[str, Any],
    curves: Path | None = None,
    watch: Callable[[int, float, Callable[[], Policy]], None] | None = None,
    checkpoint: Path | None = None,
    eye: Eye | None = None,
) -> Policy:
    """Train an agent.

    Args:
        envs: rows of a world that reset in the same step.
        training: its settings.
        facts: what else the policy should tell of where it comes from, plain JSON.
        curves: a folder for TensorBoard.
        watch: told after every step of all rows how many frames were played, how long the last hundred episodes were
            on average (NaN before the first ended), and how to have the policy as it is now.
        checkpoint: a file to go on from, if it is there, and to write once a minute, between two updates; what
            follows is played in new episodes, so the result is not that of a training that was never stopped.
        eye: that has learned to see (`worldsim_policies.learned.pretrain`), and stays as it is: the noise of rewards would teach
            it to see less. If None a new one, which learns with the rest.

    Raises:
        WorldsimError: if a package is missing, a setting is impossible, the rows are of no world of worldsim, the
            curves can't be written, or the checkpoint is cut or of other settings.
    """
    sb3 = require("stable_baselines3", "rl")
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.logger import configure
    from stable_baselines3.common.vec_env import VecFrameStack, VecMonitor, VecNormalize

    from worldsim.device import keep_memory
    from worldsim_envs.generated.sb3 import SB3VecEnv
    from worldsim_policies.learned.action_repeat import ActionRepeat
    from worldsim_policies.learned.actor import Actor, Seen
    from worldsim_policies.learned.policy import Network, Policy, PolicyConfig
    from worldsim_policies.learned.unfinished import Unfinished

    training.check()
    config = PolicyConfig.of(world_of(envs), training.stack, training.repeat, training.mirror)
    if training.rollout * envs.num_envs < 2:
        raise WorldsimError("an update needs more than one frame: give more rows or a longer rollout")
    rows: Any = VecFrameStack(VecMonitor(SB3VecEnv(ActionRepeat(envs, training.repeat))), training.stack)
    network = Network(config)
    if eye is not None:
        network.eye = eye.requires_grad_(False)
        rows = Seen(rows, network)
    model: Any = sb3.PPO(
        Actor,
        VecNormalize(rows, norm_obs=False, gamma=training.discount),  # rewards differ from world to world
        learning_rate=lambda left: training.rate * left,
        n_steps=training.rollout,
        batch_size=min(training.batch, training.rollout * envs.num_envs),
        n_epochs=training.epochs,
        gamma=training.discount,
        gae_lambda=training.trace,
        ent_coef=training.entropy,
        policy_kwargs={"network": network, "sees": eye is not None},
        seed=training.seed,
        device="auto",
    )
    keep_memory()
    settings = {**facts, **dataclasses.asdict(training), "rows": envs.num_envs, "config": dataclasses.asdict(config)}
    del settings["steps"]
    unfinished = Unfinished(checkpoint, model, settings, training.seed)
    if curves is not None:
        require("tensorboard", "rl")
        try:
            curves.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorldsimError(f"can't write {curves}: {error.strerror or error}. Give another --out.") from error
        model.set_logger(configure(str(curves), ["tensorboard"]))
    began = time.monotonic() - unfinished.seconds

    def policy() -> Policy:
        told = {
            "algorithm": "PPO",
            **facts,
            **dataclasses.asdict(training),
            "rows": envs.num_envs,
            "steps": model.num_timesteps * training.repeat,
            "seconds": round(time.monotonic() - began, 1),
            "versions": versions(),
        }
        return Policy(config, copy.deepcopy(network).cpu().eval().requires_grad_(False), told)

    class Callback(BaseCallback):
        def _on_step(self) -> bool:
            if watch is not None:
                lengths = [episode["l"] * training.repeat for episode in model.ep_info_buffer]
                played = model.num_timesteps * training.repeat
                watch(played, float(np.mean(lengths)) if lengths else float("nan"), policy)
            return True

        def _on_rollout_start(self) -> None:
            unfinished.save(time.monotonic() - began)

    left = math.ceil(training.steps / training.repeat) - model.num_timesteps
    if left > 0:
        model.learn(left, callback=Callback(), reset_num_timesteps=False)
    return policy()


def versions() -> dict[str, str]:
    """Of what an agent was trained with."""
    found = {"python": platform.python_version(), "gymnasium": gym.__version__, "numpy": np.__version__}
    for package in ("worldsim-engine", "stable-baselines3", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a clone
            found[package] = "unknown"
    return found
