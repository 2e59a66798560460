"""`worldsim eval agent`: evaluates policies in generated and real worlds, side by side. Prints tables, writes a file.

Imagined returns are never shown without those of the real game, where it is installed.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from worldsim import atomic
from worldsim.cli.reporting import progress
from worldsim.errors import WorldsimError, require
from worldsim.evals.report import Report
from worldsim.evals.section import Figure, Section, Table, number
from worldsim.evals.terminal import show, wide_console
from worldsim_envs.registry import world_entry
from worldsim_envs.sources import find_env
from worldsim_policies.base import find_policy
from worldsim_policies.evaluation import (
    FIRST_SEED,
    MIN_RANKED,
    EvaluationConfig,
    Result,
    evaluate_policies,
    gaps,
    rank_correlations,
)

FORMAT = 2
SMALL_GAP = 0.2  # of the real score


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalAgentConfig(EvaluationConfig):
    """Evaluate policies: worldsim eval agent --policy policies/maze --policy random --env worldsim/DoomMaze-v0

    Attributes:
        policy: random, sticky (random actions that are held), scripted (in the game alone), a policy that ships, or a
            policy's folder; may be given several times.
        env: a Gymnasium id of worldsim, or the folder of a generated world; may be given several times. The game that
            a generated world imitates is played too, where it is installed.
        out: folder for agents.json; `reports/NAME` if not given.
    """

    policy: Annotated[tuple[str, ...], tyro.conf.UseAppendAction]
    env: Annotated[tuple[str, ...], tyro.conf.UseAppendAction]
    out: Path | None = None


def eval_agent(config: EvalAgentConfig) -> None:
    """Play, print, and write `agents.json`.

    Raises:
        WorldsimError: for an unknown policy or environment, one that doesn't fit the other, a value out of range, or a
            missing package.
    """
    if not config.policy or not config.env:
        raise WorldsimError("give --policy and --env: worldsim eval agent --policy random --env worldsim/DoomMaze-v0")
    config.check()
    if len(config.policy) >= MIN_RANKED:
        require("scipy", "rl")
    sources = [find_env(name) for name in dict.fromkeys(config.env)]
    if len({source.world for source in sources}) > 1:
        raise WorldsimError(f"{', '.join(config.env)} are of different worlds: evaluate each by itself")
    policies = {name: find_policy(name) for name in config.policy}
    results, no_game = evaluate_policies(policies, sources, config, progress)
    console = wide_console()
    title = f"Policies in {sources[0].world}"
    show(Report("agents", title, {}, [section(results, no_game, config)]), console)
    out = (config.out or Path("reports") / sources[0].world) / "agents.json"
    atomic.write_text(out, json.dumps(content(results, no_game, config), indent=1, allow_nan=False))
    console.print(f"wrote {out}", soft_wrap=True)


def section(results: Sequence[Result], no_game: str, config: EvaluationConfig) -> Section:
    """The tables that are printed.

    Args:
        results: of `evaluate_policies`.
        no_game: why the game was not played, or "".
        config: of the evaluation.
    """
    world = results[0].source.world
    score = world_entry(world).score
    generated = any(result.source.generated for result in results)
    method = (
        f"{config.episodes} whole episodes of each policy, truncated after {config.steps(world)} steps, from seed "
        f"{FIRST_SEED + config.seed} on; the score is the {score}, with a 95% bootstrap interval of its mean."
    )
    if generated:
        method += f" Generated at temperature {config.temperature:g}."
    columns = ("policy", "world", "mean", "95% of the mean", "std", "median", "min", "max", "steps")
    found = Section("agents", "Policies", method, tables=[Table(score, columns, [_row(result) for result in results])])
    compared = gaps(results)
    if compared:
        shares = [(number(gap.gap_of_real, "%"), verdict(gap.gap_of_real)) for gap in compared]
        rows = [(*dataclasses.astuple(gap), gap.gap, *share) for gap, share in zip(compared, shares, strict=True)]
        titles = ("policy", "world", "imagined", "real", "imagined - real", "of the real score", "")
        found.tables.append(Table("imagined beside real", titles, rows))
    if no_game and generated:
        found.notes.append(f"There are no real scores to compare with, so these say little: {no_game}")
    for env, (correlation, count) in rank_correlations(compared).items():
        label = f"rank correlation (Spearman) between {env} and the game, {count} policies"
        found.figures.append(Figure(f"agents.rank.{env}", label, correlation))
    return found


def content(results: Sequence[Result], no_game: str, config: EvaluationConfig) -> dict[str, Any]:
    """What `agents.json` holds; arguments as for `section`."""
    world = results[0].source.world
    compared = gaps(results)
    return {
        "format": FORMAT,
        "kind": "agents",
        "world": world,
        "score": world_entry(world).score,
        "facts": {
            "command": shlex.join(["worldsim", *sys.argv[1:]]),
            "date": datetime.date.today().isoformat(),
            "first_seed": FIRST_SEED + config.seed,
            "episode_steps": config.steps(world),
            "temperature": config.temperature,
            "sample": config.sample,
        },
        "no_game": no_game or None,
        "results": [
            {
                "policy": result.policy,
                "env": result.source.name,
                "world_digest": result.source.digest,
                "imagined": result.source.generated,
                **result.summary(),
                "scores": result.scores.total.tolist(),
                "lengths": result.scores.length.tolist(),
            }
            for result in results
        ],
        "gaps": [
            {**dataclasses.asdict(gap), "gap": gap.gap, "gap_of_real": _finite(gap.gap_of_real)} for gap in compared
        ],
        "rank_correlations": {
            env: {"spearman": _finite(correlation), "policies": count}
            for env, (correlation, count) in rank_correlations(compared).items()
        },
    }


def verdict(share: float) -> str:
    """What a gap means, given as a share of the real score."""
    if not math.isfinite(share):
        return "-"
    if abs(share) <= SMALL_GAP:
        return f"within {SMALL_GAP:.0%}"
    return f"the generated world pays {'more' if share > 0 else 'less'} than the game"


def _row(result: Result) -> tuple[Any, ...]:
    summary = result.summary()
    summary["interval"] = " … ".join(number(bound) for bound in summary["interval"])
    return (result.policy, f"{result.source.name}{' (imagined)' * result.source.generated}", *summary.values())


def _finite(value: float) -> float | None:
    """The value, or None (null in JSON) where it is not a number."""
    return value if math.isfinite(value) else None
