"""`worldsim train agent`: an agent learns in a world, generated or real. Knows folders and the bar, no algorithm."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from worldsim.cli.record import parse_size
from worldsim.errors import WorldsimError, require
from worldsim.progress import ProgressBar
from worldsim_envs.registry import world_entry
from worldsim_envs.sources import find_env, world_of
from worldsim_policies.learned.ood_termination import OODTermination
from worldsim_policies.learned.ppo import PPOTraining, learn

if TYPE_CHECKING:
    from worldsim_policies.learned.policy import Policy


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainAgentConfig(PPOTraining):
    """Train an agent in a world: worldsim train agent --env worldsim/DoomMaze-v0 --out policies/maze

    Stopped before its end, the same command goes on from OUT.checkpoint, which is written once a minute.

    Attributes:
        env: a Gymnasium id of worldsim, generated or real, or the folder of a generated world.
        out: the folder of the policy; curves go beside it, into OUT.curves.
        size: of a game's frames, as in 128x96; its own if not given. A generated world has only one.
        num_envs: rows that are played at once.
        temperature: of a generated world, as a multiple of its own: above 1, chance is wilder.
        most_ood: of a generated world: an episode is lost where a picture is less like what the world learned from, so
            that nobody learns to live there; 0 for never.
        recording: play that worlds learn from: episodes of a generated world begin anywhere in its training split, and
            not only at the world's own starts.
        sight: gradient steps in which the agent's eye first learns to name what is there off the recording's frames:
            the exact state, and in take cover where each fireball will pass. It stays as it is from then on.
        eye: a policy of the same world and shape, a folder or one that ships, whose eye is taken instead.
        runtime: of a generated world: onnx, torch, or batch, which makes many rows the fastest.
        episode_steps: an episode is cut after so many; 0 for what the world's agents are judged by.
        keep: keep so many policies of the way there too, as OUT-STEPS, closer together where most is learned: at first.
    """

    env: str
    out: Path
    size: str = ""
    num_envs: int = 16
    temperature: float = 1.0
    most_ood: float = 0.0
    recording: Path | None = None
    sight: int = 0
    eye: str = ""
    runtime: Literal["onnx", "torch", "batch"] = "batch"
    episode_steps: int = 0
    keep: int = 0


def train_agent(config: TrainAgentConfig) -> None:
    """Train, and write the policy.

    Raises:
        WorldsimError: for an unknown environment, one of no world of worldsim, a wrong number, a missing package, or
            an `out` that holds something else.
    """
    require("torch", "rl")
    from worldsim.data.recording import Recording
    from worldsim_policies.learned.policy import POLICY, Eye, PolicyConfig, load_policy
    from worldsim_policies.learned.pretrain import learn_to_see
    from worldsim_policies.learned.unfinished import frames_played

    if min(config.num_envs - 1, config.episode_steps, config.keep, config.most_ood, config.sight) < 0:
        raise WorldsimError("num-envs is 1 or more, episode-steps, keep, most-ood and sight are 0 or more")
    if config.sight and config.recording is None:
        raise WorldsimError("an eye learns to see from recorded play: give --recording, or leave --sight out")
    if config.sight and config.eye:
        raise WorldsimError(f"the eye of {config.eye} sees already: leave sight out, or eye")
    POLICY.check_free(config.out)
    place = find_env(config.env)
    steps = config.episode_steps or world_entry(place.world).agent_steps
    size = parse_size(config.size)
    if size and place.generated:
        raise WorldsimError(f"{config.env} is generated, and has only the size that it learned: leave --size out")
    shape = (size["height"], size["width"]) if size else None
    curves, checkpoint = (config.out.with_name(f"{config.out.name}.{kind}") for kind in ("curves", "checkpoint"))
    training = PPOTraining(**{f.name: getattr(config, f.name) for f in dataclasses.fields(PPOTraining)})
    training.check()
    most_ood = config.most_ood or None
    options: dict[str, Any] = {"temperature": config.temperature, "max_ood": most_ood}
    if place.generated:
        options["runtime"] = config.runtime
    if place.generated or not config.sight:  # a game takes it for its eye alone
        options["recording"] = config.recording
    envs = place.make(config.num_envs, "SameStep", steps, size=shape, **options)
    if most_ood:
        envs = OODTermination(envs, most_ood)
    print(f"Curves: tensorboard --logdir {curves}")
    facts = {
        "env": config.env,
        "world_digest": place.digest,
        "temperature": config.temperature,
        "most_ood": config.most_ood,
        "recording": config.recording and config.recording.name,
        "sight": config.sight,
        "eye": config.eye,
        "episode_steps": steps,
    }
    marks = [math.ceil(config.steps * (i / (config.keep + 1)) ** 2) for i in range(1, config.keep + 1)]
    before = frames_played(checkpoint) * training.repeat
    kept = sum(mark <= before for mark in marks)
    eye = None
    try:
        seen = PolicyConfig.of(world_of(envs), training.stack, training.repeat, training.mirror)
        if config.eye:
            theirs = load_policy(config.eye)
            if theirs.config != seen:
                differing = {k: v for k, v in vars(theirs.config).items() if v != getattr(seen, k)}
                told = ", ".join(f"{name} {value}" for name, value in differing.items())
                raise WorldsimError(f"the eye of {config.eye} is for another agent ({told}): ask for the same as that")
            eye = theirs.network.eye
        elif config.sight and before:
            eye = Eye(seen)  # its weights are in the checkpoint
        elif config.sight and config.recording:
            with ProgressBar(f"{place.name}: the eye learns to see", config.sight) as bar:
                eye, share = learn_to_see(seen, Recording(config.recording), config.sight, config.seed, bar.update)
            print(f"The eye names {share:.0%} of the variance of what is there, in held-out play.")
        with ProgressBar(f"{place.name}: frames", config.steps, before) as bar:

            def watch(done: int, length: float, policy: Callable[[], Policy]) -> None:
                nonlocal kept
                bar.update(done, "" if math.isnan(length) else f"(episodes of {length:.0f})")
                if kept < config.keep and done >= marks[kept]:
                    kept += 1
                    policy().save(config.out.with_name(f"{config.out.name}-{done}"))

            policy = learn(envs, training, facts, curves, watch, checkpoint, eye)
    finally:
        envs.close()
    policy.save(config.out)
    checkpoint.unlink(missing_ok=True)
    print(f"wrote {config.out}")
    print(f"What it is worth: worldsim eval agent --policy {config.out} --env {config.env}")
