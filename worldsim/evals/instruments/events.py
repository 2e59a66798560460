"""Events: do they happen as often as in the real world, under the same actions from the same beginnings?

Knows no network. B rows, n frames, S components of the state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from worldsim.evals import statistics
from worldsim.evals.instruments.state import ReadState
from worldsim.evals.probes import EventProbe
from worldsim.evals.section import Curves, Figure, Section, Table
from worldsim.evals.statistics import Interval


class Episodes(NamedTuple):
    """Episodes that began together.

    Attributes:
        frames: uint8 `[B, n, H, W, 3]`.
        alive: bool `[B, n]`, whether the episode had not ended before the frame.
        ended: bool `[B, n]`, whether it ended with it.
        rewards: float `[B, n]`, received with it.
    """

    frames: np.ndarray
    alive: np.ndarray
    ended: np.ndarray
    rewards: np.ndarray

    @classmethod
    def of(cls, frames: np.ndarray, ended: np.ndarray, rewards: np.ndarray) -> Episodes:
        """Of frames that continue after an end; those don't count."""
        before = np.cumsum(ended, axis=1) - ended
        return cls(frames, before == 0, ended & (before == 0), rewards)

    @property
    def returns(self) -> np.ndarray:
        """Sum of the rewards of each, `[B]`."""
        total: np.ndarray = (self.rewards * self.alive).sum(1)
        return total


def events(
    probes: Sequence[EventProbe], names: Sequence[str], read: ReadState, real: Episodes, generated: Episodes
) -> Section:
    """Rates of events and returns, generated against real.

    Args:
        probes: what to count. names: of the state's components.
        read: reads them off frames.
        real, generated: from the same beginnings under the same actions; the real frames encoded and decoded.
    """
    b, n = real.alive.shape
    section = Section(
        "events",
        "Do events happen as often?",
        f"{b} episodes that were never recorded, with random actions that are held for a while. After the context "
        f"frames the real world and the generated one continue with the same actions for up to {n} frames. The same "
        "net reads the counts off the frames of both.",
    )
    rows, lines = [], {}
    for probe in probes:
        at = names.index(probe.component) if probe.component else -1
        rates = []
        for label, episodes in (("real", real), ("generated", generated)):
            counts = (read(episodes.frames)[..., at] if probe.component else episodes.ended).astype(float)
            rates.append(_rate(probe.kind, counts, episodes.alive))
            if probe.component:
                lines[f"{probe.component}, {label}"] = _alive_mean(counts, episodes.alive)
        (true, interval), (own, own_interval) = rates
        rows.append((probe.label, true, _text(interval), own, _text(own_interval)))
        off = abs(own / true - 1) if true else float("nan")
        reference = f"{own:.3g}, real play {true:.3g}"
        label = f"{probe.label}: relative error of the rate"
        section.figures.append(Figure(f"events.{probe.key}", label, off, "%", reference=reference, n=b))
    section.tables.append(Table("Rates", ("", "real", "95 %", "generated", "95 %"), rows))
    imagined, returned = generated.returns.mean(), real.returns.mean()
    reference = f"real {returned:.4g}, imagined minus real {imagined - returned:+.3g}"
    label = f"imagined return of {n} frames"
    section.figures.append(Figure("events.imagined", label, float(imagined), "", None, reference, b))
    if lines:
        section.curves.append(Curves("Counts over time", "frames", "count", lines))
    return section


def _alive_mean(counts: np.ndarray, alive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean count of the episodes that go on, `[B, n]`, `[B, n]` -> frames and means, while enough of them do."""
    b, n = alive.shape
    left = alive.sum(0)
    enough = left >= max(1, b // 10)
    means = np.where(alive, counts, 0).sum(0) / np.maximum(left, 1)
    return np.arange(1, n + 1)[enough], means[enough]


def _rate(kind: str, counts: np.ndarray, alive: np.ndarray) -> tuple[float, Interval]:
    """A rate with its 95% bootstrap interval over rows: counts and alive `[B, n]`."""
    weight = alive.astype(float)
    if kind == "growth":  # of a line through each row, one slope for all
        time = np.arange(counts.shape[1]) * np.ones_like(counts)
        mean_time, mean_count = (
            (values * weight).sum(1, keepdims=True) / np.maximum(weight.sum(1, keepdims=True), 1)
            for values in (time, counts)
        )
        above = 1000 * ((time - mean_time) * (counts - mean_count) * weight).sum(1)
        below = (np.square(time - mean_time) * weight).sum(1)
    else:
        above, below = (counts * weight).sum(1) * (1000 if kind == "count" else 1), weight.sum(1)
    sums = np.stack([above, below], axis=1)
    return float(above.sum() / max(below.sum(), 1e-9)), statistics.bootstrap(sums, statistics.ratio)


def _text(interval: Interval) -> str:
    return f"{interval[0]:.3g} … {interval[1]:.3g}"
