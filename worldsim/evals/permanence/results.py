"""Results on disk: results.json, trials.parquet, and what a leaderboard of them must keep to. Computes no metric.

results.json holds no pictures and no secrets: of a private split it names the seeds by their digest only.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.errors import WorldsimError, require
from worldsim.evals.permanence import stats
from worldsim.evals.permanence.calibration import Check, is_valid
from worldsim.evals.permanence.detector import LEAST_AREA, MOST_AREA, REACH
from worldsim.evals.permanence.judge import GATES
from worldsim.evals.permanence.offline import SUITE
from worldsim.evals.permanence.scene import VERSION
from worldsim.evals.permanence.stats import Estimate
from worldsim.evals.permanence.summary import ARMS, Cell, Trials
from worldsim.evals.permanence.tiers import TIERS, judged_seeds, seeds_digest

RESULTS, TRIALS = "results.json", "trials.parquet"
KEY = ("probe", "seed", "twin", "target", "point", "against")  # names a trial of an arm
SHARES = {"right", "right_strict", "exists", "identity", "shape", "within", "hallucination", "chance", *GATES}


@dataclasses.dataclass(frozen=True)
class Judged:
    """Who was judged, on what.

    Attributes:
        model: its name. digest: of its weights. context: L, how many past frames it sees; None if it does not say.
        world: name of the real world. world_digest: of scenes it staged; another version of the world has another.
        width, height: of the frames.
        tier: one of `TIERS`. split: "test" or "private". seeds: by probe.
    """

    model: str
    digest: str
    context: int | None
    world: str
    world_digest: str
    width: int
    height: int
    tier: str
    split: str
    seeds: Mapping[str, list[int]]


def write_results(
    folder: Path,
    judged: Judged,
    facts: Mapping[str, str],
    checks: Sequence[Check],
    cells: Sequence[Cell],
    trials: Trials,
) -> list[Path]:
    """Write both files, each whole or not at all. `facts`: what else is to be said of the run.

    Raises:
        WorldsimError: if they can't be written, or pyarrow is missing.
    """
    described = {
        "suite": SUITE,
        "version": VERSION,
        **dataclasses.asdict(judged),
        "seeds": {"counts": {p: len(s) for p, s in judged.seeds.items()}, "digest": seeds_digest(judged.seeds)},
        "facts": dict(facts),
        "valid": is_valid(checks),
        "detector": {
            "threshold": REACH,
            "areas": [LEAST_AREA, MOST_AREA],
            "checks": [{"frames": c.frames, "recall": _plain(c.recall), "false": _plain(c.false)} for c in checks],
        },
        "cells": [
            {"arm": c.arm, "probe": c.probe, "point": c.point, "metric": c.metric, **_plain(c.estimate)} for c in cells
        ],
    }
    table = require("pyarrow", "eval").table(trials.columns)
    sink = io.BytesIO()
    require("pyarrow.parquet", "eval").write_table(table, sink)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in ((TRIALS, sink.getvalue()), (RESULTS, json.dumps(described, indent=1).encode())):
            partial = folder / f".{name}.partial"
            partial.write_bytes(data)
            os.replace(partial, folder / name)
    except OSError as error:
        raise WorldsimError(f"can't write to {folder}: {error.strerror or error}. Give another --out.") from error
    return [folder / RESULTS, folder / TRIALS]


def read_results(path: Path) -> dict[str, Any]:
    """One results.json, held to what this version of the suite writes: figures that can be, seeds that were frozen.

    Raises:
        WorldsimError: if it is not one, of another version, or says what can't be.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if found["suite"] != SUITE:
            raise ValueError(f"suite {found['suite']!r}")
        version, tier, seeds = found["version"], found["tier"], found["seeds"]
        named = {field.name for field in dataclasses.fields(Judged)} | {"facts", "valid", "detector", "cells"}
        if named - found.keys():
            raise ValueError(f"no {', '.join(sorted(named - found.keys()))}")
        cells = [(c["arm"], c["probe"], c["point"], c["metric"], _estimate(c)) for c in found["cells"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorldsimError(f"{path} is not the results of this suite ({error})") from error
    if version != VERSION:
        raise WorldsimError(f"{path} is of version {version} of the suite; this is version {VERSION}. Run it again.")
    if tier not in TIERS:
        raise WorldsimError(f"{path}: no tier {tier!r}; there are {', '.join(TIERS)}")
    if found["split"] == "test" and seeds["digest"] != seeds_digest(judged_seeds(TIERS[tier], seeds["counts"])):
        raise WorldsimError(f"{path}: these are not the seeds of the {tier} tier. Run it again.")
    for arm, probe, point, metric, (value, low, high, n, scenes) in cells:
        least, most = (-1e-6, 1 + 1e-6) if metric in SHARES else (-math.inf, math.inf)
        if arm not in ARMS or not (low <= high and least <= value <= most) or not 0 < scenes <= n:
            what = f"{arm}, {probe}, {metric} at {point}"
            raise WorldsimError(f"{path}: {what} can't be {value} ({low} … {high}, n = {n})")
    return found


def read_trials(folder: Path) -> Trials:
    """The trials beside a results.json.

    Raises:
        WorldsimError: if there are none, or pyarrow is missing.
    """
    parquet = require("pyarrow.parquet", "eval")
    try:
        table = parquet.read_table(folder / TRIALS)
        return Trials({name: np.asarray(table[name]) for name in table.column_names})
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise WorldsimError(f"{folder / TRIALS} can't be read ({error}). Run the suite again.") from error


def compare_trials(one: Trials, other: Trials) -> list[tuple[str, int, Estimate]]:
    """Share right of one model minus that of another on the same trials, by probe and point; gates count as wrong."""
    rights = []
    for trials in (one.where(arm="model"), other.where(arm="model")):
        keys = zip(*(trials[name].tolist() for name in KEY), strict=True)
        rights.append(dict(zip(keys, (trials["right"] * trials["gates"]).tolist(), strict=True)))
    both = [key for key in rights[0] if key in rights[1] and key[2] != "absent"]
    found = []
    for probe, point in sorted({(key[0], key[4]) for key in both}):
        here = [key for key in both if (key[0], key[4]) == (probe, point)]
        difference = np.array([rights[0][key] - rights[1][key] for key in here])
        found.append((probe, point, stats.mean(difference, np.array([key[1] for key in here]))))
    return found


def _plain(estimate: Estimate) -> dict[str, float | int | str | None]:
    """JSON has no infinity and no NaN: "inf" and null."""
    return {name: _number(value) for name, value in estimate._asdict().items()}


def _number(value: float) -> float | str | None:
    if isinstance(value, int):
        return value
    return round(value, 6) if math.isfinite(value) else None if math.isnan(value) else "inf"


def _estimate(cell: Mapping[str, Any]) -> Estimate:
    low, value, high = (math.nan if cell[name] is None else float(cell[name]) for name in ("low", "value", "high"))
    return Estimate(value, low, high, int(cell["n"]), int(cell["scenes"]))
