"""Aggregation: trials in, cells out: every metric of every probe, arm and point, with its interval.

Shares are conditional on the gates; `right_strict` beside them counts a failed gate as wrong.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from worldsim.evals import statistics
from worldsim.evals.permanence.judge import GATES, LABELS, Trial
from worldsim.evals.statistics import Estimate

STAGED = ("P1", "P2", "P3", "P4", "P4b", "P5", "P6", "P7")
ARMS = ("model", "cut", "control", "codec", "oracle", "freeze", "velocity")
MOVED = 1.0  # radii: frozen, a target would be off by more than this: only there can skill over freezing show


@dataclasses.dataclass(frozen=True)
class Cell:
    """One figure: a metric of an arm in a probe, at a point or (None) over all of them.

    Metrics: right, right_strict, exists, identity, shape, within (one radius), error (radii), count_error, skill,
    memory_loss, chance, hallucination, d_prime, half_life (k, one more than the longest judged where it was not
    reached), and G0 … G3.
    """

    arm: str
    probe: str
    point: int | None
    metric: str
    estimate: Estimate


class Trials:
    """Trials as columns, numpy arrays of one length; `conditions` are JSON, `scene` names probe and seed."""

    def __init__(self, columns: dict[str, np.ndarray]):
        self.columns = columns

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> Trials:
        """The columns of a list."""
        rows = [
            {
                **{name: value for name, value in vars(trial).items() if name not in ("passed", "outcome")},
                **vars(trial.outcome),
                **dict(zip(map(str.lower, GATES), trial.passed, strict=True)),
                "gates": trial.gates,
                "label": trial.label,
                "conditions": json.dumps(dict(trial.conditions), sort_keys=True, default=float),
            }
            for trial in trials
        ]
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        return cls(columns)

    def __getitem__(self, name: str) -> np.ndarray:
        """A column."""
        if name == "scene":
            return np.char.add(np.char.add(self["probe"].astype(str), "/"), self["seed"].astype(str))
        return self.columns[name]

    def __len__(self) -> int:
        """How many trials."""
        return len(self.columns["right"])

    def keep(self, mask: np.ndarray) -> Trials:
        """Those of a mask `[trials]`."""
        return Trials({name: column[mask] for name, column in self.columns.items()})

    def where(self, **equal: Any) -> Trials:
        """Those with these values."""
        mask = np.ones(len(self), bool)
        for name, value in equal.items():
            mask &= self.columns[name] == value
        return self.keep(mask)

    def present(self) -> Trials:
        """Those with something to remember."""
        return self.keep(self["twin"] != "absent")

    def gated(self) -> Trials:
        """Those that passed all gates."""
        return self.keep(self["gates"])

    def mean(self, column: str) -> Estimate:
        """Mean of a column."""
        return statistics.scene_mean(self[column].astype(float), self["scene"], self["probe"])


def summarise(trials: Trials) -> list[Cell]:
    """All cells."""
    cells = []
    for arm in ARMS:
        of_arm = trials.where(arm=arm)
        for probe in STAGED:
            here = of_arm.where(probe=probe)
            if len(here):
                cells += [Cell(arm, probe, None, *pair) for pair in _overall(here)]
                for point in np.unique(here["point"]).tolist():
                    cells += [Cell(arm, probe, point, *pair) for pair in _at(here.where(point=point))]
        absent = of_arm.keep((of_arm["twin"] == "absent") & (of_arm["probe"] != "P9"))
        if len(absent):
            cells.append(Cell(arm, "P8", None, "hallucination", absent.gated().mean("alarm")))
        surprise = of_arm.where(probe="P9")
        if len(surprise):
            cells += [Cell(arm, "P9", None, *pair) for pair in _shares(surprise)]
            for point in np.unique(surprise["point"]).tolist():
                cells += [Cell(arm, "P9", point, *pair) for pair in _shares(surprise.where(point=point))]
    model = trials.where(arm="model").present()
    for probe in np.unique(model["probe"]).tolist():
        cells += _lasting(model.where(probe=probe), trials.where(arm="control", probe=probe), probe)
    return [cell for cell in cells if cell.estimate.n]


def label_shares(trials: Trials) -> dict[str, float]:
    """How often each label was given, gates failed among them."""
    return {label: float((trials["label"] == label).mean()) for label in LABELS if (trials["label"] == label).any()}


def conditions(trials: Trials) -> dict[str, np.ndarray]:
    """Every condition that varies, as a column of text; "-" for a trial without it."""
    rows = [json.loads(text) for text in trials["conditions"]]
    columns = {name: np.array([str(row.get(name, "-")) for row in rows]) for name in sorted(set().union(*rows))}
    return {name: column for name, column in columns.items() if len(np.unique(column)) > 1}


def _shares(trials: Trials) -> Iterable[tuple[str, Estimate]]:
    strict = trials["right"] * trials["gates"]
    yield "right", trials.gated().mean("right")
    yield "right_strict", statistics.scene_mean(strict, trials["scene"])


def _at(trials: Trials) -> Iterable[tuple[str, Estimate]]:
    """What is measured at one point."""
    present = trials.present()
    yield from _shares(present)
    passed = present.gated()
    for metric in ("exists", "identity", "shape", "error", "count_error"):
        yield metric, passed.mean(metric)
    found = passed.keep(np.isfinite(passed["frozen_error"]))
    yield "within", statistics.scene_mean((found["error"] <= 1.0).astype(float), found["scene"])
    yield "skill", _skill(passed)
    yield "hallucination", trials.keep(trials["twin"] == "absent").gated().mean("alarm")


def _overall(trials: Trials) -> Iterable[tuple[str, Estimate]]:
    """What is measured over all points."""
    yield from _at(trials)
    yield "chance", trials.present().mean("chance")
    passed = trials.gated()
    hits, alarms = passed.present(), passed.keep(passed["twin"] == "absent")
    hits = hits.keep(np.isfinite(hits["exists"]))
    yield "d_prime", statistics.d_prime(hits["exists"], alarms["alarm"], (hits["scene"], alarms["scene"]))
    for gate in GATES:
        yield gate, trials.mean(gate.lower())


def _skill(trials: Trials) -> Estimate:
    """Skill over freezing, 1 - error / error of a frozen target; a target that was not found counts as frozen."""
    moved = trials.keep(np.nan_to_num(trials["frozen_error"]) > MOVED)
    if not len(moved):
        return statistics.NONE
    names = np.unique(moved["scene"])
    frozen = moved["frozen_error"]
    errors = np.where(np.isfinite(moved["error"]), moved["error"], frozen)
    sums = np.stack([statistics.scene_sums(values, moved["scene"], names)[:, 0] for values in (errors, frozen)], axis=1)
    skill: Callable[[np.ndarray], float] = lambda total: float(1 - total[0] / total[1])  # noqa: E731
    return Estimate(skill(sums.sum(0)), *statistics.bootstrap(sums, skill), len(moved), len(names))


def _lasting(model: Trials, control: Trials, probe: str) -> Iterable[Cell]:
    """Half-life, and what hiding alone costs: the visible control minus the same trial hidden, in pairs."""
    if probe == "P9":
        return
    passed, visible = model.gated(), control.present()
    ceiling = float(visible["right"].mean()) if len(visible) else 1.0
    life = statistics.half_life(passed["right"], passed["scene"], passed["k"], ceiling, float(model["chance"].mean()))
    yield Cell("model", probe, None, "half_life", life)
    same = model.where(twin="a")
    hidden = dict(zip(_keys(same), same["right"], strict=True))
    lost = np.array([right - hidden[key] for key, right in zip(_keys(visible), visible["right"], strict=True)])
    for point in [None, *np.unique(visible["point"]).tolist()]:
        here = np.ones(len(visible), bool) if point is None else visible["point"] == point
        yield Cell("model", probe, point, "memory_loss", statistics.scene_mean(lost[here], visible["scene"][here]))


def _keys(trials: Trials) -> list[tuple[Any, ...]]:
    return list(zip(trials["seed"].tolist(), trials["point"].tolist(), trials["target"].tolist(), strict=True))
