"""`worldsim eval permanence leaderboard` and `compare`: results side by side, checked first. Measures nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import tyro

from worldsim.errors import WorldsimError
from worldsim.evals.permanence.results import RESULTS, compare_trials, read_results, read_trials
from worldsim.evals.permanence.tiers import TIERS
from worldsim.evals.report import Report
from worldsim.evals.section import Section, Table, number
from worldsim.evals.statistics import Estimate
from worldsim.evals.terminal import show, wide_console

SHOWN = (("P1", 64), ("P1", 1024), ("P2", 32), ("P3", 64), ("P3", 1024), ("P4", 64), ("P5", 2), ("P6", 64), ("P7", 64))


@dataclasses.dataclass(frozen=True)
class LeaderboardConfig:
    """Check a folder of results, and rank them: worldsim eval permanence leaderboard leaderboard

    Attributes:
        folder: of folders, each with a results.json.
    """

    folder: tyro.conf.Positional[Path] = Path("leaderboard")


@dataclasses.dataclass(frozen=True)
class CompareConfig:
    """Two models on the same trials, in pairs: worldsim eval permanence compare reports/one reports/other

    Attributes:
        one, other: folders with results.json and trials.parquet.
    """

    one: tyro.conf.Positional[Path]
    other: tyro.conf.Positional[Path]


def leaderboard(config: LeaderboardConfig) -> None:
    """Print all results, best first; failed gates count as wrong.

    Raises:
        WorldsimError: for the first results.json that does not hold.
    """
    paths = sorted(config.folder.glob(f"**/{RESULTS}"))
    if not paths:
        raise WorldsimError(f"there is no {RESULTS} in or below {config.folder}")
    entries = [read_results(path) for path in paths]
    _check_entries(entries, paths)
    method = "Share right by probe and hidden time (P5: swaps), failed gates as wrong. P8: something appeared."
    section = Section("leaderboard", "Permanence", method)
    for world, tier in sorted(
        {(e["world"], e["tier"]) for e in entries}, key=lambda w: (w[0], list(TIERS).index(w[1]))
    ):
        these = [entry for entry in entries if (entry["world"], entry["tier"]) == (world, tier)]
        rows = sorted((_row(entry) for entry in these), key=lambda row: -row[1])
        columns = ("model", "mean", *(f"{p}/{k}" for p, k in SHOWN), "P8", "valid", "seeds")
        shown = [(row[0], *(v if isinstance(v, str) else number(v, "%") for v in row[1:])) for row in rows]
        section.tables.append(Table(f"{world}, {tier}", columns, shown))
    show(Report("leaderboard", "Leaderboard", {}, [section]), wide_console())


def compare(config: CompareConfig) -> None:
    """Print how much more often one is right than the other, by probe and point.

    Raises:
        WorldsimError: if one of them can't be read, or they share no trial.
    """
    names = [read_results(folder / RESULTS)["model"] for folder in (config.one, config.other)]
    found = compare_trials(read_trials(config.one), read_trials(config.other))
    if not found:
        raise WorldsimError(f"{config.one} and {config.other} share no trial: compare the same world and split")
    rows = [(f"{probe} at {point}", _interval(e), e.n, e.scenes) for probe, point, e in found]
    table = Table("", ("probe", "difference", "trials", "scenes"), rows)
    method = "Share right of the first minus that of the second on the same trials; failed gates count as wrong."
    section = Section("compare", f"{names[0]} against {names[1]}", method, tables=[table])
    show(Report("compare", "Comparison", {}, [section]), wide_console())


def _check_entries(entries: list[dict[str, Any]], paths: list[Path]) -> None:
    """Make sure that no two are of the same model, and that all of a world are of the same version of it.

    Raises:
        WorldsimError: naming the first that is not.
    """
    models: dict[tuple[Any, ...], Path] = {}
    worlds: dict[tuple[Any, ...], tuple[str, Path]] = {}
    for entry, path in zip(entries, paths, strict=True):
        model = tuple(entry[name] for name in ("model", "digest", "world", "width", "height", "tier", "split"))
        if model in models:
            raise WorldsimError(f"{path} is of the same model, world and tier as {models[model]}. Keep one of them.")
        models[model] = path
        world = tuple(entry[name] for name in ("world", "width", "height", "tier"))
        digest, first = worlds.setdefault(world, (entry["world_digest"], path))
        if digest != entry["world_digest"]:
            raise WorldsimError(
                f"{path} was judged on another version of {entry['world']!r} than {first}. Run it again."
            )


def _row(entry: dict[str, Any]) -> tuple[Any, ...]:
    cells = {(c["probe"], c["point"], c["metric"]): c["value"] for c in entry["cells"] if c["arm"] == "model"}
    right = {key: value for key, value in cells.items() if key[2] == "right_strict"}
    mean = sum(value for (_, point, _), value in right.items() if point is None)
    probes = sum(point is None for _, point, _ in right)
    points = [right.get((probe, point, "right_strict"), float("nan")) for probe, point in SHOWN]
    appeared = cells.get(("P8", None, "hallucination"), float("nan"))
    valid = "yes" if entry["valid"] else "NO"
    return entry["model"], mean / probes, *points, appeared, valid, entry["split"]


def _interval(estimate: Estimate) -> str:
    low, high = (number(v, "%", bare=True) for v in (estimate.low, estimate.high))
    return f"{number(estimate.value, '%')} ({low} … {high})"
