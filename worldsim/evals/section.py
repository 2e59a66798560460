"""What an instrument returns: figures, tables, curves and film strips. Plain data; neither measured nor shown here."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from worldsim.evals.statistics import Interval, mean_interval, wilson


@dataclasses.dataclass(frozen=True)
class Figure:
    """One number.

    Attributes:
        key: unique in the report, for example `turn.returned`.
        label: what it is, in words.
        value: the number; NaN where it could not be measured.
        unit: "" for a count, "%" for a share (stored as 0 … 1).
        interval: 95% interval. reference: what to compare it with, in words, for example "ceiling 31.2 dB".
        n: how many scenes, runs or trials it is over; None where it is no mean of several.
        shown: what people read in place of the number, for example ">256".
    """

    key: str
    label: str
    value: float
    unit: str = ""
    interval: Interval | None = None
    reference: str = ""
    n: int | None = None
    shown: str = ""

    def text(self) -> str:
        """The number for people, with its interval."""
        shown = self.shown or number(self.value, self.unit)
        if self.interval is None or not all(map(math.isfinite, self.interval)):
            return shown
        low, high = (number(v, self.unit, bare=True) for v in self.interval)
        return f"{shown} ({low} … {high})"


def mean_figure(key: str, label: str, values: np.ndarray, unit: str = "", reference: str = "") -> Figure:
    """The mean of one value a scene or run, `[n]`, with its bootstrap interval; NaN values don't count."""
    values = np.asarray(values, dtype=float)
    known = values[np.isfinite(values)]
    mean = float(known.mean()) if len(known) else math.nan
    return Figure(key, label, mean, unit, mean_interval(known), reference, len(known))


def share_figure(key: str, label: str, successes: int, trials: int, reference: str = "") -> Figure:
    """A share of trials, with Wilson's interval; NaN for no trials."""
    share = successes / trials if trials else math.nan
    return Figure(key, label, share, "%", wilson(successes, trials), reference, trials)


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of text and numbers under named columns."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


@dataclasses.dataclass(frozen=True)
class Curves:
    """Lines in one plot: name -> (x, y) or (x, y, low, high), each `[n]`.

    `marks` are places on the x axis, named; `y_range` is what the other axis shows, if not all that is needed.
    """

    title: str
    x: str
    y: str
    lines: Mapping[str, tuple[np.ndarray, ...]]
    log_x: bool = False
    marks: Mapping[str, float] = dataclasses.field(default_factory=dict)
    y_range: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Stack:
    """Shares that make up a whole, one bar beside the other: part -> `[n]`, its share of each of the `bars`."""

    title: str
    bars: tuple[str, ...]
    parts: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Strip:
    """Film strips one under the other: label -> uint8 `[n, H, W, 3]`; `captions` names the columns."""

    title: str
    rows: Mapping[str, np.ndarray]
    captions: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Section:
    """What one instrument found.

    Attributes:
        name: the key of its figures. title, method: for people; `method` states what was measured, and on what.
        notes: for example, what could not be measured.
    """

    name: str
    title: str
    method: str
    figures: list[Figure] = dataclasses.field(default_factory=list)
    tables: list[Table] = dataclasses.field(default_factory=list)
    curves: list[Curves] = dataclasses.field(default_factory=list)
    stacks: list[Stack] = dataclasses.field(default_factory=list)
    strips: list[Strip] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


def number(value: float | str, unit: str = "", bare: bool = False) -> str:
    """A number for people: shares as percent, NaN as a dash, the unit after it unless `bare`."""
    if isinstance(value, (str, int, np.integer)) and not unit:
        return str(value)
    value = float(value)
    if not math.isfinite(value):
        return "-"
    if unit == "%":
        return f"{100 * value:.1f}" + ("" if bare else " %")
    digits = (
        0 if float(value).is_integer() and abs(value) >= 10 else 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1
    )
    return f"{value:.{digits}f}" + ("" if bare or not unit else f" {unit}")
