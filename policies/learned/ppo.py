"""PPO (Schulman et al. 2017) on rows of a world, generated or real: Stable-Baselines3 trains a `TrainedPolicy`.

Knows no command line, and no files but the curves and the checkpoint.
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
    from worldsim_policies.learned.network import ActorCritic, Encoder
    from worldsim_policies.learned.policy import TrainedPolicy

OnStep = Callable[[int, float, "Callable[[], TrainedPolicy]"], None]


@dataclasses.dataclass(frozen=True)
class PPOConfig:
    """How an agent is trained.

    Attributes:
        steps: frames to play, of all rows together; rounded up to whole updates.
        seed: random seed of the weights, the episodes and the sampling.
        repeat: frames for which an action is held; all counts below are of actions, not frames.
        stack: how many frames the agent observes: the newest of those on which it chose an action.
        symmetric: make the policy equivariant under reflection (left becomes right): for symmetric worlds, where what
            it learns of one side then holds for the other.
        rollout: steps of each row between two updates.
        batch: steps in a minibatch.
        epochs: passes over the rollout per update.
        lr: initial learning rate; it decays linearly to 0.
        gamma: discount factor.
        gae_lambda: lambda of generalised advantage estimation (Schulman et al. 2016): 1 uses whole returns, 0 one-step
            TD errors.
        entropy: coefficient of the entropy bonus.
    """

    steps: int = 1_000_000
    seed: int = 0
    repeat: int = 1
    stack: int = 4
    symmetric: bool = False
    rollout: int = 128
    batch: int = 256
    epochs: int = 4
    lr: float = 5e-4
    gamma: float = 0.99
    gae_lambda: float = 0.95
    entropy: float = 0.01

    def check(self) -> None:
        """Make sure that all values are in range.

        Raises:
            WorldsimError: for one that is not.
        """
        for name in ("steps", "repeat", "stack", "rollout", "batch", "epochs"):
            if getattr(self, name) < 1:
                raise WorldsimError(f"{name} {getattr(self, name)}: give 1 or more")
        for name in ("seed", "entropy"):
            if not getattr(self, name) >= 0:
                raise WorldsimError(f"{name} {getattr(self, name)}: give 0 or more")
        for name in ("gamma", "gae_lambda"):
            if not 0 <= getattr(self, name) <= 1:
                raise WorldsimError(f"{name.replace('_', '-')} {getattr(self, name)}: give 0 to 1")
        if not self.lr > 0:
            raise WorldsimError(f"lr {self.lr}: give a number above 0")


def train_ppo(
    envs: VectorEnv[Any, Any, Any],
    config: PPOConfig,
    facts: dict[str, Any],
    curves: Path | None = None,
    on_step: OnStep | None = None,
    checkpoint: Path | None = None,
    encoder: Encoder | None = None,
) -> TrainedPolicy:
    """Train an agent.

    Args:
        envs: rows of a world, with autoreset "SameStep".
        config: of the training.
        facts: more to store with the policy about its training, plain JSON.
        curves: a folder for TensorBoard.
        on_step: called after every step of all rows with the frames played so far, the mean length of the last hundred
            episodes in frames (NaN before the first one ended), and a function that returns the policy as it is now.
        checkpoint: a file to resume from if it exists, written about once a minute between two updates. A resumed
            training begins new episodes, so its result differs from that of an uninterrupted one.
        encoder: a pretrained one (see `pretrain`), which stays frozen. If None, a new one learns with the heads.

    Raises:
        WorldsimError: if a package is missing, a setting is out of range, the rows are of no world of worldsim, the
            curves can't be written, or the checkpoint is cut or was written with other settings.
    """
    require("stable_baselines3", "rl")
    from worldsim.device import keep_memory
    from worldsim_policies.learned.checkpoint import PPOCheckpoint
    from worldsim_policies.learned.network import ActorCritic, PolicyConfig
    from worldsim_policies.learned.policy import TrainedPolicy

    config.check()
    policy_config = PolicyConfig.of(world_of(envs), config.stack, config.repeat, config.symmetric)
    if config.rollout * envs.num_envs < 2:
        raise WorldsimError("an update needs more than one step: give more rows or a longer rollout")
    network = ActorCritic(policy_config)
    model = _model(envs, config, network, encoder)
    keep_memory()
    facts = {**facts, **dataclasses.asdict(config), "rows": envs.num_envs}
    settings = {**facts, "config": dataclasses.asdict(policy_config)}
    del settings["steps"]
    saved = PPOCheckpoint(checkpoint, model, settings, config.seed)
    if curves is not None:
        _log_curves(model, curves)
    began = time.monotonic() - saved.seconds

    def snapshot() -> TrainedPolicy:
        training = {
            "algorithm": "PPO",
            **facts,
            "steps": model.num_timesteps * config.repeat,
            "seconds": round(time.monotonic() - began, 1),
            "versions": _versions(),
        }
        return TrainedPolicy(policy_config, copy.deepcopy(network).cpu().eval().requires_grad_(False), training)

    def after_step() -> None:
        if on_step is not None:
            lengths = [episode["l"] * config.repeat for episode in model.ep_info_buffer]
            on_step(model.num_timesteps * config.repeat, float(np.mean(lengths)) if lengths else math.nan, snapshot)

    left = math.ceil(config.steps / config.repeat) - model.num_timesteps
    if left > 0:
        callback = _callback(after_step, lambda: saved.save(time.monotonic() - began))
        model.learn(left, callback=callback, reset_num_timesteps=False)
    return snapshot()


def _model(envs: VectorEnv[Any, Any, Any], config: PPOConfig, network: ActorCritic, encoder: Encoder | None) -> Any:
    """A `stable_baselines3.PPO` that trains the network."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import VecFrameStack, VecMonitor, VecNormalize

    from worldsim_envs.generated.sb3 import SB3VecEnv
    from worldsim_policies.learned.action_repeat import ActionRepeat
    from worldsim_policies.learned.actor import Actor, EncodedRows

    rows: Any = VecFrameStack(VecMonitor(SB3VecEnv(ActionRepeat(envs, config.repeat))), config.stack)
    if encoder is not None:
        network.encoder = encoder.requires_grad_(False)
        rows = EncodedRows(rows, network)
    return PPO(
        Actor,
        VecNormalize(rows, norm_obs=False, gamma=config.gamma),  # the scale of rewards differs between worlds
        learning_rate=lambda left: config.lr * left,
        n_steps=config.rollout,
        batch_size=min(config.batch, config.rollout * envs.num_envs),
        n_epochs=config.epochs,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        ent_coef=config.entropy,
        policy_kwargs={"network": network, "pretrained": encoder is not None},
        seed=config.seed,
        device="auto",
    )


def _log_curves(model: Any, folder: Path) -> None:
    """Make the model log to TensorBoard, in this folder."""
    require("tensorboard", "rl")
    from stable_baselines3.common.logger import configure

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorldsimError(f"can't write {folder}: {error.strerror or error}. Give another --out.") from error
    model.set_logger(configure(str(folder), ["tensorboard"]))


def _callback(after_step: Callable[[], None], before_rollout: Callable[[], None]) -> Any:
    """A callback of Stable-Baselines3 that calls these."""
    from stable_baselines3.common.callbacks import BaseCallback

    class Callback(BaseCallback):
        def _on_step(self) -> bool:
            after_step()
            return True

        def _on_rollout_start(self) -> None:
            before_rollout()

    return Callback()


def _versions() -> dict[str, str]:
    """Of the packages that an agent is trained with."""
    found = {"python": platform.python_version(), "gymnasium": gym.__version__, "numpy": np.__version__}
    for package in ("worldsim-engine", "stable-baselines3", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a clone
            found[package] = "unknown"
    return found
