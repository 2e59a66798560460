"""`worldsim train agent`: trains an agent in a world, generated or real. Knows folders and the bar, no algorithm."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gymnasium.vector import VectorEnv

from worldsim.cli.record import parse_size
from worldsim.errors import WorldsimError, require
from worldsim.progress import ProgressBar
from worldsim_envs.registry import world_entry
from worldsim_envs.sources import EnvSource, find_env, world_of
from worldsim_policies.base import state_targets
from worldsim_policies.learned.ood_termination import OODTermination
from worldsim_policies.learned.ppo import PPOConfig, train_ppo

if TYPE_CHECKING:
    from worldsim_policies.learned.network import Encoder, PolicyConfig
    from worldsim_policies.learned.policy import TrainedPolicy


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainAgentConfig(PPOConfig):
    """Train an agent in a world: worldsim train agent --env worldsim/DoomMaze-v0 --out policies/maze

    If it is stopped, the same command resumes from OUT.checkpoint, which is written once a minute.

    Attributes:
        env: a Gymnasium id of worldsim, generated or real, or the folder of a generated world.
        out: folder of the policy; training curves go into OUT.curves.
        size: frame size of a game, as in 128x96; its own if not given. A generated world has only one size.
        num_envs: rows that are played at once.
        temperature: scale of the randomness of a generated world; 1 is its own.
        max_ood: terminate an episode of a generated world where a frame is further out of distribution than this
            (`info["ood"]`), so that the agent can't exploit such frames; 0 for never.
        recording: begin episodes of a generated world anywhere in the training split of this recording, and not only at
            the world's own starts. Also what --pretrain learns from.
        pretrain: gradient steps in which the encoder first learns to predict the exact state from recorded frames (in
            take cover also where each fireball will pass). It is frozen from then on.
        encoder: take the encoder of this policy instead: a folder or one that ships, of the same world and shape.
        runtime: what runs a generated world: onnx, torch, or batch, which is the fastest for many rows.
        episode_steps: truncate an episode after so many; 0 for the world's own limit.
        keep: also save so many policies along the way, as OUT-STEPS, closer together early in training.
    """

    env: str
    out: Path
    size: str = ""
    num_envs: int = 16
    temperature: float = 1.0
    max_ood: float = 0.0
    recording: Path | None = None
    pretrain: int = 0
    encoder: str = ""
    runtime: Literal["onnx", "torch", "batch"] = "batch"
    episode_steps: int = 0
    keep: int = 0

    def check(self) -> None:
        """Make sure that all values are in range and fit together.

        Raises:
            WorldsimError: for one that is not or does not.
        """
        super().check()
        if min(self.num_envs - 1, self.episode_steps, self.keep, self.max_ood, self.pretrain) < 0:
            raise WorldsimError("num-envs is 1 or more; episode-steps, keep, max-ood and pretrain are 0 or more")
        if self.pretrain and self.recording is None:
            raise WorldsimError("pretraining learns from recorded play: give --recording, or leave --pretrain out")
        if self.pretrain and self.encoder:
            raise WorldsimError(f"the encoder of {self.encoder} is pretrained: leave --pretrain or --encoder out")


def train_agent(config: TrainAgentConfig) -> None:
    """Train, and write the policy.

    Raises:
        WorldsimError: for an unknown environment, one of no world of worldsim, a value out of range, a missing package,
            or an `out` that holds something else.
    """
    require("torch", "rl")
    from worldsim_policies.learned.checkpoint import steps_done
    from worldsim_policies.learned.policy import POLICY

    config.check()
    POLICY.check_free(config.out)
    source = find_env(config.env)
    curves, checkpoint = (config.out.with_name(f"{config.out.name}.{kind}") for kind in ("curves", "checkpoint"))
    envs = _make_envs(source, config)
    try:
        print(f"Curves: tensorboard --logdir {curves}")
        frames_done = steps_done(checkpoint) * config.repeat
        encoder = _make_encoder(source, envs, config, resumed=frames_done > 0)
        snapshots = _Snapshots(config, frames_done)
        ppo = PPOConfig(**{field.name: getattr(config, field.name) for field in dataclasses.fields(PPOConfig)})
        with ProgressBar(f"{source.name}: frames", config.steps, frames_done) as bar:

            def on_step(frames: int, length: float, policy: Callable[[], TrainedPolicy]) -> None:
                bar.update(frames, "" if math.isnan(length) else f"(mean episode {length:.0f} frames)")
                snapshots.update(frames, policy)

            policy = train_ppo(envs, ppo, _facts(source, config), curves, on_step, checkpoint, encoder)
    finally:
        envs.close()
    policy.save(config.out)
    checkpoint.unlink(missing_ok=True)
    print(f"wrote {config.out}")
    print(f"Next: worldsim eval agent --policy {config.out} --env {config.env}")


def _episode_steps(source: EnvSource, config: TrainAgentConfig) -> int:
    return config.episode_steps or world_entry(source.world).agent_steps


def _make_envs(source: EnvSource, config: TrainAgentConfig) -> VectorEnv[Any, Any, Any]:
    """The rows that the agent is trained in."""
    size = parse_size(config.size)
    if size and source.generated:
        raise WorldsimError(f"{config.env} is generated, and has only the size that it learned: leave --size out")
    options: dict[str, Any] = {"temperature": config.temperature, "max_ood": config.max_ood or None}
    if source.generated:
        options["runtime"] = config.runtime
    if source.generated or not config.pretrain:  # for a game, a recording is only for pretraining
        options["recording"] = config.recording
    shape = (size["height"], size["width"]) if size else None
    envs = source.make(config.num_envs, "SameStep", _episode_steps(source, config), size=shape, **options)
    return OODTermination(envs, config.max_ood) if config.max_ood else envs


def _facts(source: EnvSource, config: TrainAgentConfig) -> dict[str, Any]:
    """What is stored with the policy about its training, besides the settings of PPO."""
    return {
        "env": config.env,
        "world_digest": source.digest,
        "temperature": config.temperature,
        "max_ood": config.max_ood,
        "recording": config.recording and config.recording.name,
        "pretrain": config.pretrain,
        "encoder": config.encoder,
        "episode_steps": _episode_steps(source, config),
    }


def _make_encoder(
    source: EnvSource, envs: VectorEnv[Any, Any, Any], config: TrainAgentConfig, resumed: bool
) -> Encoder | None:
    """The frozen encoder that was asked for; None for one that learns with the rest."""
    from worldsim.data.recording import Recording
    from worldsim_policies.learned.network import Encoder, PolicyConfig
    from worldsim_policies.learned.pretrain import pretrain_encoder

    policy_config = PolicyConfig.of(world_of(envs), config.stack, config.repeat, config.symmetric)
    if config.encoder:
        return _encoder_of(config.encoder, policy_config)
    if not config.pretrain or config.recording is None:
        return None
    if resumed:
        return Encoder(policy_config)  # its weights are in the checkpoint
    recording, targets = Recording(config.recording), state_targets(source.world)
    with ProgressBar(f"{source.name}: pretraining the encoder, steps", config.pretrain) as bar:
        encoder, explained = pretrain_encoder(
            policy_config, recording, config.pretrain, config.seed, bar.update, targets
        )
    print(f"The encoder explains {explained:.0%} of the variance of the state in held-out play.")
    return encoder


def _encoder_of(name: str, wanted: PolicyConfig) -> Encoder:
    """The encoder of a stored policy, which must have this config."""
    from worldsim_policies.learned.policy import load_policy

    policy = load_policy(name)
    if policy.config != wanted:
        differing = {k: v for k, v in vars(policy.config).items() if v != getattr(wanted, k)}
        described = ", ".join(f"{field} {value}" for field, value in differing.items())
        raise WorldsimError(f"the encoder of {name} is for another agent ({described}): give the same settings")
    return policy.network.encoder


class _Snapshots:
    """Saves policies along the way; quadratically spaced, since most is learned early.

    Args:
        config: says how many, and where.
        frames_done: frames played before a resumed training.
    """

    def __init__(self, config: TrainAgentConfig, frames_done: int):
        self._out = config.out
        marks = [math.ceil(config.steps * (i / (config.keep + 1)) ** 2) for i in range(1, config.keep + 1)]
        self._due = [mark for mark in marks if mark > frames_done]

    def update(self, frames: int, policy: Callable[[], TrainedPolicy]) -> None:
        """So many frames were played: save the policy if it is due."""
        if self._due and frames >= self._due[0]:
            del self._due[0]
            policy().save(self._out.with_name(f"{self._out.name}-{frames}"))
