"""How good policies are: whole episodes in generated worlds and in the games beside them. Measures, shows nothing."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from gymnasium.vector import VectorEnv

from worldsim.errors import WorldsimError, require
from worldsim.evals.statistics import mean_interval
from worldsim_envs.registry import world_entry
from worldsim_envs.sources import EnvSource, world_of
from worldsim_policies.base import Policy, make_policy, merge_infos

if TYPE_CHECKING:
    from worldsim_policies.learned.policy import TrainedPolicy

FIRST_SEED = 10**6  # of evaluation episodes: none of them was recorded or trained on
MIN_RANKED = 3  # policies, for a rank correlation

Tick = Callable[[int], None]
Progress = Callable[[str, int], contextlib.AbstractContextManager[Tick]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How policies are evaluated.

    Attributes:
        episodes: how many each policy plays in each environment.
        seed: random seed of the episodes; the same for all policies.
        temperature: scale of the randomness of generated worlds; 1 is their own.
        episode_steps: truncate an episode after so many; 0 for the world's own limit.
        num_envs: rows of a generated world that are played at once; changes only how long it takes.
        sample: learned policies sample their actions, instead of taking the most likely.
        runtime: what runs generated worlds: onnx, torch, or batch, which is the fastest for many episodes.
    """

    episodes: int = 100
    seed: int = 0
    temperature: float = 1.0
    episode_steps: int = 0
    num_envs: int = 16
    sample: bool = False
    runtime: Literal["onnx", "torch", "batch"] = "onnx"

    def check(self) -> None:
        """Make sure that all values are in range.

        Raises:
            WorldsimError: for one that is not.
        """
        if min(self.episodes, self.num_envs) < 1 or min(self.seed, self.episode_steps) < 0:
            raise WorldsimError("episodes and num-envs are 1 or more, seed and episode-steps 0 or more")

    def steps(self, world: str) -> int:
        """After how many steps an episode of this world is truncated."""
        return self.episode_steps or world_entry(world).agent_steps


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """The outcome of N episodes.

    Attributes:
        total: float64 `[N]`, the sum of the rewards.
        length: int64 `[N]`, steps.
    """

    total: np.ndarray
    length: np.ndarray


@dataclasses.dataclass(frozen=True)
class Result:
    """The scores of one policy in one environment."""

    policy: str
    source: EnvSource
    scores: Scores

    @property
    def mean(self) -> float:
        """Of the returns."""
        return float(self.scores.total.mean())

    def summary(self) -> dict[str, Any]:
        """Statistics of the returns, and the mean length."""
        total = self.scores.total
        return {
            "mean": self.mean,
            "interval": mean_interval(total),
            "std": float(total.std(ddof=1)) if len(total) > 1 else 0.0,
            "median": float(np.median(total)),
            "min": float(total.min()),
            "max": float(total.max()),
            "steps": float(self.scores.length.mean()),
        }


@dataclasses.dataclass(frozen=True)
class Gap:
    """The mean return of a policy in a generated world, and in the game beside it."""

    policy: str
    env: str
    imagined: float
    real: float

    @property
    def gap(self) -> float:
        """Imagined minus real."""
        return self.imagined - self.real

    @property
    def gap_of_real(self) -> float:
        """The gap as a share of the real return; NaN where that is 0."""
        return self.gap / abs(self.real) if self.real else float("nan")


def evaluate_policies(
    policies: Mapping[str, str | TrainedPolicy],
    sources: Sequence[EnvSource],
    config: EvaluationConfig,
    progress: Progress,
) -> tuple[list[Result], str]:
    """Play every policy in every environment, and in the game that generated worlds imitate.

    Args:
        policies: name -> what `worldsim_policies.base.find_policy` returns.
        sources: environments of one world.
        config: how.
        progress: called with a title and a number of episodes; a context that is told of each episode that ends.

    Returns:
        the results, in the order of the policies; and why there is no game beside the generated worlds, or "".

    Raises:
        WorldsimError: if a policy can't play an environment, or one can't be opened. Nothing has been played then.
    """
    with contextlib.ExitStack() as stack:
        opened, missing = _open_all(policies, sources, config, stack)
        made: list[dict[str, Policy]] = []
        for source, envs in opened:
            skipped = {"scripted"} if source.generated and not missing else set()  # it plays the game alone
            world, rows = world_of(envs), envs.num_envs
            made.append(
                {k: make_policy(p, world, rows, config.sample) for k, p in policies.items() if k not in skipped}
            )
        results = []
        for (source, envs), players in zip(opened, made, strict=True):
            with progress(f"{source.name}: episodes", config.episodes * len(players)) as tick:
                for name, policy in players.items():
                    scores = play_episodes(envs, policy, config.episodes, config.seed, tick)
                    results.append(Result(name, source, scores))
    order = list(policies)
    return sorted(results, key=lambda result: order.index(result.policy)), missing


def play_episodes(envs: VectorEnv[Any, Any, Any], policy: Policy, episodes: int, seed: int, tick: Tick) -> Scores:
    """Play whole episodes. Episode i begins with seed `FIRST_SEED + seed + i`, whichever row plays it, so the same seed
    gives the same scores.

    Args:
        envs: rows with autoreset "Disabled", whose episodes end. A row with no episode left plays on, uncounted.
        policy: for as many rows.
        episodes: how many.
        seed: 0 or more.
        tick: called with 1 for each episode that ends.
    """
    total, length = np.zeros(episodes), np.zeros(episodes, np.int64)
    rows = np.arange(envs.num_envs)
    episode, following, left = rows.copy(), envs.num_envs, episodes  # episode: which one each row plays

    def seeds() -> list[int]:
        return [FIRST_SEED + seed + int(i) for i in episode]

    observations, infos = envs.reset(seed=seeds())  # type: ignore[arg-type]
    policy.begin(rows, seeds())
    returns, steps = np.zeros(len(rows)), np.zeros(len(rows), np.int64)
    while left:
        observations, rewards, terminated, truncated, infos = envs.step(policy.act(observations, infos))
        returns, steps = returns + rewards, steps + 1
        over = terminated | truncated
        if not over.any():
            continue
        for row in np.flatnonzero(over & (episode < episodes)):
            total[episode[row]], length[episode[row]] = returns[row], steps[row]
            left -= 1
            tick(1)
        if left:
            ended = np.flatnonzero(over)
            episode[ended] = following + np.arange(len(ended))
            following += len(ended)
            returns[ended], steps[ended] = 0, 0
            observations, new = envs.reset(seed=seeds(), options={"reset_mask": over})  # type: ignore[arg-type]
            infos = merge_infos(infos, new, over)
            policy.begin(ended, [seeds()[row] for row in ended])
    return Scores(total, length)


def gaps(results: Sequence[Result]) -> list[Gap]:
    """Of each policy in each generated world, where it also played the game."""
    real = {result.policy: result.mean for result in results if not result.source.generated}
    return [
        Gap(result.policy, result.source.name, result.mean, real[result.policy])
        for result in results
        if result.source.generated and result.policy in real
    ]


def rank_correlations(found: Sequence[Gap]) -> dict[str, tuple[float, int]]:
    """Spearman's correlation of imagined and real returns in each generated world, and over how many policies.

    Left out with fewer than `MIN_RANKED` policies; NaN where all imagined or all real returns are equal.
    """
    correlations = {}
    for env in dict.fromkeys(gap.env for gap in found):
        scores = np.array([(gap.imagined, gap.real) for gap in found if gap.env == env])
        if len(scores) < MIN_RANKED:
            continue
        constant = (scores == scores[0]).all(axis=0).any()
        stats = require("scipy.stats", "rl")
        spearman = float("nan") if constant else float(stats.spearmanr(scores[:, 0], scores[:, 1]).statistic)
        correlations[env] = (spearman, len(scores))
    return correlations


def _open_all(
    policies: Mapping[str, str | TrainedPolicy],
    sources: Sequence[EnvSource],
    config: EvaluationConfig,
    stack: contextlib.ExitStack,
) -> tuple[list[tuple[EnvSource, VectorEnv[Any, Any, Any]]], str]:
    """Environments of all sources, and of the game beside generated ones, or why there is none.

    The game has the frame size of the generated worlds, or of the first policy that was trained in this world.
    """
    world = sources[0].world
    steps = config.steps(world)
    trained = [policy.config for policy in policies.values() if not isinstance(policy, str)]
    size = next(((own.height, own.width) for own in trained if own.world == world), None)

    def open_real(source: EnvSource) -> tuple[EnvSource, VectorEnv[Any, Any, Any]]:
        envs = source.make(1, "Disabled", steps, size=size)
        stack.callback(envs.close)
        return source, envs

    opened = []
    for source in (source for source in sources if source.generated):
        envs = source.make(config.num_envs, "Disabled", steps, config.temperature, runtime=config.runtime)
        stack.callback(envs.close)
        size = world_of(envs).height, world_of(envs).width
        opened.append((source, envs))
    games = [source for source in sources if not source.generated]
    if games:
        return [*opened, *map(open_real, games)], ""
    try:
        return [*opened, open_real(sources[0].twin())], ""
    except WorldsimError as error:
        return opened, str(error)
