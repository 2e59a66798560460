"""Results on disk: results.json, trials.parquet, and what a leaderboard of them must keep to. Computes no metric.

results.json holds no pictures and no secrets: of a private split it names the seeds by their digest only.
"""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.errors import require
from worldsim.evals import statistics
from worldsim.evals.files import checking, json_bytes, read_columns, typed, write_files
from worldsim.evals.permanence.calibration import Check, is_valid
from worldsim.evals.permanence.detector import LEAST_AREA, MOST_AREA, REACH
from worldsim.evals.permanence.judge import GATES
from worldsim.evals.permanence.offline import SUITE
from worldsim.evals.permanence.scene import VERSION
from worldsim.evals.permanence.summary import ARMS, Cell, Trials
from worldsim.evals.permanence.tiers import TIERS, judged_seeds, seeds_digest
from worldsim.evals.statistics import Estimate
from worldsim.safe_read import read_json

RESULTS, TRIALS = "results.json", "trials.parquet"
WAY_OUT = "Run the suite again: worldsim eval permanence."
JUDGED_TYPES: dict[str, type | tuple[type, ...]] = {  # of results.json
    **dict.fromkeys(("model", "digest", "world", "world_digest", "tier", "split"), str),
    "context": (int, type(None)),
    **dict.fromkeys(("width", "height"), int),
    **dict.fromkeys(("seeds", "facts", "detector"), dict),
    "valid": bool,
    "cells": list,
}
COLUMNS = {  # of trials.parquet, and the numpy kinds of each
    **dict.fromkeys(("arm", "probe", "twin", "conditions", "against", "label"), "U"),
    **dict.fromkeys(("seed", "target", "point", "k"), "iu"),
    **dict.fromkeys(("chance", "right", "exists", "identity", "shape", "error", "frozen_error"), "f"),
    **dict.fromkeys(("count_error", "alarm"), "f"),
    **dict.fromkeys(("g0", "g1", "g2", "g3", "gates"), "b"),
}
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
    """Write both files, each whole or not at all. `facts`: command, date and the like.

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
    sink = io.BytesIO()
    table = require("pyarrow", "eval").table(trials.columns)
    require("pyarrow.parquet", "eval").write_table(table, sink)
    return write_files(folder, {TRIALS: sink.getvalue(), RESULTS: json_bytes(described)})


def read_results(path: Path) -> dict[str, Any]:
    """One results.json, checked: what this version of the suite writes, figures that are possible, seeds as frozen.

    Raises:
        WorldsimError: if it is not one, of another version, or holds impossible figures.
    """
    found = read_json(path, WAY_OUT)
    with checking(path, WAY_OUT):
        if found.get("suite") != SUITE:
            raise ValueError("it is not the results of this suite")
        typed(found, {"version": str, **JUDGED_TYPES})
        if found["version"] != VERSION:
            raise ValueError(f"it is of version {found['version']!r} of the suite; this is version {VERSION!r}")
        _check_seeds(found)
        for cell in found["cells"]:
            _check_cell(cell)
        if not any((c["arm"], c["point"], c["metric"]) == ("model", None, "right_strict") for c in found["cells"]):
            raise ValueError("it has no share of right answers for the model")
    return found


def _check_seeds(found: dict[str, Any]) -> None:
    tier, seeds = found["tier"], found["seeds"]
    typed(seeds, {"counts": dict, "digest": str})
    if tier not in TIERS:
        raise ValueError(f"there is no tier {tier!r}; there are {', '.join(TIERS)}")
    if found["split"] not in ("test", "private"):
        raise ValueError(f"there is no split {found['split']!r}")
    if found["split"] == "test" and seeds["digest"] != seeds_digest(judged_seeds(TIERS[tier], seeds["counts"])):
        raise ValueError(f"its seeds are not those of the {tier} tier")


def _check_cell(cell: Any) -> None:
    if not isinstance(cell, dict):
        raise ValueError(f"a cell is a {type(cell).__name__}")
    typed(cell, {"arm": str, "probe": str, "metric": str, "point": (int, type(None)), "n": int, "scenes": int})
    typed(cell, dict.fromkeys(("value", "low", "high"), (int, float, str, type(None))))
    if any(isinstance(cell[name], str) and cell[name] != "inf" for name in ("value", "low", "high")):
        raise ValueError("a cell has text for a number")
    value, low, high = (math.nan if cell[name] is None else float(cell[name]) for name in ("value", "low", "high"))
    least, most = (-1e-6, 1 + 1e-6) if cell["metric"] in SHARES else (-math.inf, math.inf)
    if cell["arm"] not in ARMS or not (low <= high and least <= value <= most) or not 0 < cell["scenes"] <= cell["n"]:
        what = f"{cell['arm']!r}, {cell['probe']!r}, {cell['metric']!r} at {cell['point']}"
        raise ValueError(f"{what} can't be {value} ({low} … {high}, n = {cell['n']})")


def read_trials(folder: Path) -> Trials:
    """The trials beside a results.json.

    Raises:
        WorldsimError: if there are none, they are broken, or pyarrow is missing.
    """
    return Trials(read_columns(folder / TRIALS, COLUMNS, WAY_OUT))


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
        found.append((probe, point, statistics.scene_mean(difference, np.array([key[1] for key in here]))))
    return found


def _plain(estimate: Estimate) -> dict[str, float | int | str | None]:
    """JSON has no infinity and no NaN: "inf" and null."""
    return {name: _number(value) for name, value in estimate._asdict().items()}


def _number(value: float) -> float | str | None:
    if isinstance(value, int):
        return value
    return round(value, 6) if math.isfinite(value) else None if math.isnan(value) else "inf"
