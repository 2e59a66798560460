"""Events: do things happen as often as in the real world, when both are played alike from the same beginnings?

Knows no network. B rows, n frames, S components of the state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from worldsim.evals.instruments.state import ReadState
from worldsim.evals.probes import EventProbe
from worldsim.evals.section import Curves, Figure, Section, Table

DRAWS = 1000  # of a bootstrap


class Watched(NamedTuple):
    """Play, as far as it went.

    Attributes:
        frames: uint8 `[B, n, H, W, 3]`.
        alive: bool `[B, n]`, whether play had not ended before the frame.
        ended: bool `[B, n]`, whether it ended with it.
        rewards: float `[B, n]`, paid with it.
    """

    frames: np.ndarray
    alive: np.ndarray
    ended: np.ndarray
    rewards: np.ndarray

    @classmethod
    def of(cls, frames: np.ndarray, ended: np.ndarray, rewards: np.ndarray) -> Watched:
        """Of play that went on after an end, which doesn't count."""
        before = np.cumsum(ended, axis=1) - ended
        return cls(frames, before == 0, ended & (before == 0), rewards)


def events(
    probes: Sequence[EventProbe], names: Sequence[str], read: ReadState, real: Watched, generated: Watched
) -> Section:
    """Rates of events and returns, generated against real.

    Args:
        probes: what to count. names: of the state's components.
        read: reads them off frames.
        real, generated: play from the same beginnings with the same keys; the real frames encoded and decoded.
    """
    b, n = real.alive.shape
    section = Section(
        "events",
        "Do things happen as often?",
        f"{b} games that were never recorded, with random keys that are held a while; after the frames that a world is "
        f"shown at the start, the real world and the generated one go on with the same keys for up to {n} frames. The "
        "counts are read off the frames of both by the same small net.",
    )
    rows, levels = [], {}
    for probe in probes:
        at = names.index(probe.component) if probe.component else -1
        rates = []
        for watched in (real, generated):
            counts = read(watched.frames)[..., at] if probe.component else watched.ended
            rates.append(_rate(probe.kind, counts.astype(float), watched.alive))
            if probe.component:
                alive = watched.alive.sum(0)
                line = np.where(watched.alive, counts, 0).sum(0) / np.maximum(alive, 1)
                enough = alive >= max(1, b // 10)
                label = f"{probe.component}, {'real' if watched is real else 'generated'}"
                levels[label] = (np.arange(1, n + 1)[enough], line[enough])
        (own, low, high), (other, other_low, other_high) = rates[1], rates[0]
        rows.append((probe.label, other, f"{other_low:.3g} … {other_high:.3g}", own, f"{low:.3g} … {high:.3g}"))
        off = abs(own / other - 1) if other else float("nan")
        reference = f"{own:.3g}, real play {other:.3g}"
        section.figures.append(Figure(f"events.{probe.key}", f"{probe.label}: off by", off, "%", reference=reference))
    section.tables.append(Table("How often", ("", "real", "95 %", "generated", "95 %"), rows))
    imagined, true = ((w.rewards * w.alive).sum(1) for w in (generated, real))
    reference = f"real {true.mean():.4g}, imagined minus real {imagined.mean() - true.mean():+.3g}"
    label = f"imagined return of {n} frames"
    section.figures.append(Figure("events.imagined", label, float(imagined.mean()), "", None, reference))
    if levels:
        section.curves.append(Curves("What is there", "frames", "count", levels))
    return section


def _rate(kind: str, counts: np.ndarray, alive: np.ndarray) -> tuple[float, float, float]:
    """A rate with its 95% bootstrap interval over rows: counts and alive `[B, n]`."""
    picks = np.random.default_rng(0).integers(len(counts), size=(DRAWS, len(counts)))
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
    drawn = above[picks].sum(1) / np.maximum(below[picks].sum(1), 1e-9)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(above.sum() / max(below.sum(), 1e-9)), float(low), float(high)
