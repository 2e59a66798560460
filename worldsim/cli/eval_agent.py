"""`worldsim eval agent`: players in generated and real worlds, side by side. Knows tables and a file, no algorithm.

What is imagined is never shown without the real game beside it, where that is installed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro
from gymnasium.vector import VectorEnv

from worldsim.cli.reporting import progress
from worldsim.errors import WorldsimError, require
from worldsim.evals.report import Report
from worldsim.evals.section import Figure, Section, Table, number
from worldsim.evals.statistics import mean_interval
from worldsim.evals.terminal import show, wide_console
from worldsim_envs.registry import rules_of
from worldsim_envs.rows import Place, find_place, world_of
from worldsim_policies.evaluation import JUDGED, Scores, play_episodes
from worldsim_policies.players import find_player, make_player

if TYPE_CHECKING:
    from worldsim_policies.learned.policy import Policy

FORMAT = 1
CLOSE = 0.2  # of the real score: a gap that is called small
FEWEST = 3  # players, for a rank correlation


@dataclasses.dataclass(frozen=True)
class EvalAgentConfig:
    """Judge players: worldsim eval agent --policy policies/maze --policy random --env worldsim/DoomMaze-v0

    Attributes:
        policy: random, scripted (in the game alone), a policy that ships, or a policy's folder; may be given several
            times.
        env: a Gymnasium id of worldsim, or the folder of a generated world; may be given several times. The game that
            a generated world imitates is played too, where it is installed.
        episodes: of each player in each world.
        seed: of the episodes; the same for all players.
        out: a folder for agents.json; `reports/NAME` if not given.
        temperature: of the generated worlds.
        episode_steps: an episode is cut after so many; 0 for what the world's agents are judged by.
        num_envs: rows of a generated world that are played at once; decides nothing but the time it takes.
        sample: a learned player draws its actions, instead of taking the likeliest.
        runtime: of the generated worlds: onnx, torch, or batch, which is the fastest where many episodes are played.
    """

    policy: Annotated[tuple[str, ...], tyro.conf.UseAppendAction]
    env: Annotated[tuple[str, ...], tyro.conf.UseAppendAction]
    episodes: int = 100
    seed: int = 0
    out: Path | None = None
    temperature: float = 1.0
    episode_steps: int = 0
    num_envs: int = 16
    sample: bool = False
    runtime: Literal["onnx", "torch", "batch"] = "onnx"


@dataclasses.dataclass(frozen=True)
class Result:
    """What one player came to in one place."""

    player: str
    place: Place
    scores: Scores

    @property
    def mean(self) -> float:
        """Of the sums of rewards."""
        return float(self.scores.total.mean())

    def figures(self) -> dict[str, Any]:
        """Of the sums of rewards, and how long episodes were."""
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


def eval_agent(config: EvalAgentConfig) -> None:
    """Play, print, and write `agents.json`.

    Raises:
        WorldsimError: for a player or environment that there is not, one that doesn't fit the other, a wrong number,
            or a missing package.
    """
    if not config.policy or not config.env:
        raise WorldsimError("who plays, and where? worldsim eval agent --policy random --env worldsim/DoomMaze-v0")
    if min(config.episodes, config.num_envs) < 1 or min(config.seed, config.episode_steps) < 0:
        raise WorldsimError("episodes and num-envs are 1 or more, seed and episode-steps 0 or more")
    if len(config.policy) >= FEWEST:
        require("scipy", "rl")
    places = [find_place(name) for name in dict.fromkeys(config.env)]
    if len({place.world for place in places}) > 1:
        raise WorldsimError(f"{', '.join(config.env)} are of different worlds: judge each by itself")
    world = places[0].world
    players = {name: find_player(name) for name in config.policy}
    with contextlib.ExitStack() as stack:
        arenas, absent = _open(places, players, config, stack)
        results = _play(arenas, absent, players, config)
    section = _section(results, absent, config)
    content = {
        "format": FORMAT,
        "kind": "agents",
        "world": world,
        "score": rules_of(world).score,
        "facts": {
            "command": shlex.join(["worldsim", *sys.argv[1:]]),
            "date": datetime.date.today().isoformat(),
            "first_seed": JUDGED + config.seed,
            "episode_steps": _steps(places[0], config),
            "temperature": config.temperature,
            "sample": config.sample,
        },
        "no_game": absent or None,
        "results": [
            {
                "player": result.player,
                "env": result.place.name,
                "world_digest": result.place.digest,
                "imagined": result.place.generated,
                **result.figures(),
                "scores": result.scores.total.tolist(),
                "lengths": result.scores.length.tolist(),
            }
            for result in results
        ],
        "gaps": [dict(zip(GAP_COLUMNS, map(_known, row), strict=True)) for row in _gaps(results)],
        "rank_correlations": {figure.label: _known(figure.value) for figure in section.figures},
    }
    console = wide_console()
    show(Report("agents", f"Who plays how well in {world}?", {}, [section]), console)
    out = (config.out or Path("reports") / world) / "agents.json"
    _write(out, json.dumps(content, indent=1, allow_nan=False))
    console.print(f"wrote {out}", soft_wrap=True)


Arena = tuple[Place, "VectorEnv[Any, Any, Any]"]
Players = Mapping[str, "str | Policy"]


def _open(
    places: list[Place], players: Players, config: EvalAgentConfig, stack: contextlib.ExitStack
) -> tuple[list[Arena], str]:
    """All places that were asked for, and the game beside what is generated; or why there is none."""
    seen = [who.config for who in players.values() if not isinstance(who, str)]
    sizes = [(config.height, config.width) for config in seen if config.world == places[0].world]
    size = sizes[0] if sizes else None
    arenas: list[Arena] = []
    for place in sorted(places, key=lambda place: not place.generated):
        steps = _steps(place, config)
        if place.generated:
            envs = place.make(config.num_envs, "Disabled", steps, config.temperature, runtime=config.runtime)
            size = world_of(envs).height, world_of(envs).width
        else:
            envs = place.make(1, "Disabled", steps, size=size)
        stack.callback(envs.close)
        arenas.append((place, envs))
    if not all(place.generated for place in places):
        return arenas, ""
    twin = places[0].twin()
    try:
        envs = twin.make(1, "Disabled", _steps(twin, config), size=size)
    except WorldsimError as error:
        return arenas, str(error)
    stack.callback(envs.close)
    return [*arenas, (twin, envs)], ""


def _steps(place: Place, config: EvalAgentConfig) -> int:
    return config.episode_steps or rules_of(place.world).agent_steps


def _play(arenas: list[Arena], absent: str, players: Players, config: EvalAgentConfig) -> list[Result]:
    """Every player in every place that it can play in; whether it can is found out before anybody plays."""
    casts = []
    for place, envs in arenas:
        able = {name: who for name, who in players.items() if name != "scripted" or not place.generated or absent}
        world, rows = world_of(envs), envs.num_envs
        casts.append([(name, make_player(who, world, rows, config.sample)) for name, who in able.items()])
    results = []
    for (place, envs), cast in zip(arenas, casts, strict=True):
        with progress(f"{place.name}: episodes", config.episodes * len(cast)) as tick:
            for name, player in cast:
                scores = play_episodes(envs, player, config.episodes, config.seed, tick)
                results.append(Result(name, place, scores))
    return sorted(results, key=lambda result: config.policy.index(result.player))


GAP_COLUMNS = ("player", "env", "imagined", "real", "gap", "gap_of_real")


def _gaps(results: Sequence[Result]) -> list[tuple[str, str, float, float, float, float]]:
    """Of each player and generated world beside the game: imagined, real, their gap, and that as a share of real."""
    real = {result.player: result.mean for result in results if not result.place.generated}
    rows = []
    for result in results:
        if result.place.generated and result.player in real:
            gap, of = result.mean - real[result.player], abs(real[result.player])
            share = gap / of if of else float("nan")
            rows.append((result.player, result.place.name, result.mean, real[result.player], gap, share))
    return rows


def _section(results: list[Result], absent: str, config: EvalAgentConfig) -> Section:
    """What people read."""
    rules, steps = rules_of(results[0].place.world), _steps(results[0].place, config)
    generated = any(result.place.generated for result in results)
    chance = f" Generated at temperature {config.temperature:g}." if generated else ""
    method = (
        f"{config.episodes} whole episodes of each player, cut after {steps} steps, from seed {JUDGED + config.seed} "
        f"on; the score is the {rules.score}, with a 95% bootstrap interval of its mean.{chance}"
    )
    columns = ("player", "world", "mean", "95% of the mean", "std", "median", "min", "max", "steps")
    rows = []
    for result in results:
        found = result.figures()
        found["interval"] = " … ".join(number(bound) for bound in found["interval"])
        rows.append((result.player, f"{result.place.name}{' (imagined)' * result.place.generated}", *found.values()))
    section = Section("agents", "Players", method, tables=[Table(rules.score, columns, rows)])
    gaps = _gaps(results)
    if gaps:
        shown = [(*row[:5], number(row[5], "%"), _verdict(row[5])) for row in gaps]
        titles = ("player", "world", "imagined", "real", "imagined - real", "of the real score", "")
        section.tables.append(Table("what was imagined, beside the game", titles, shown))
    if absent and generated:
        section.notes.append(f"There is no real score beside this, so it says little: {absent}")
    for env in dict.fromkeys(row[1] for row in gaps):
        scores = np.array([row[2:4] for row in gaps if row[1] == env])
        if len(scores) >= FEWEST:
            label = f"rank correlation (Spearman) of {env} and the game, {len(scores)} players"
            section.figures.append(Figure(f"agents.rank.{env}", label, _spearman(scores)))
    return section


def _spearman(scores: np.ndarray) -> float:
    """Of two columns; NaN where one says the same of all."""
    from scipy.stats import spearmanr

    if (scores == scores[0]).all(axis=0).any():
        return float("nan")
    return float(spearmanr(scores[:, 0], scores[:, 1]).statistic)


def _verdict(share: float) -> str:
    if not np.isfinite(share):
        return "-"
    if abs(share) <= CLOSE:
        return f"within {CLOSE:.0%}"
    return "the dream pays more than the game" if share > 0 else "the dream pays less than the game"


def _known(value: Any) -> Any:
    """What is no number is null in JSON."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, "utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise WorldsimError(f"can't write {path}: {error.strerror or error}. Give another --out.") from error
