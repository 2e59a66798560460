"""Motion: does what always moves in the real world move here, and does an on-screen counter count?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from worldsim.errors import WorldsimError
from worldsim.evals.core import Codec
from worldsim.evals.instruments.state import ReadState
from worldsim.evals.probes import CounterProbe
from worldsim.evals.scenes import RecordingSplit
from worldsim.evals.section import Figure, Section, Strip, Table, mean_figure, share_figure

WINDOW = 30  # frames in which it must move
CHANGED = 40  # levels of 255
PIXELS = 3  # of a row that must have changed
ALWAYS = 0.98  # of the real windows
LEAD = 3  # frames over which a jump may spread
SETTLE = 4  # frames after a jump until the counter has changed


def moving_rows(frames: np.ndarray) -> np.ndarray:
    """Rows of pixels that change within each `WINDOW` frames: uint8 `[B, n, H, W, 3]` -> bool `[B, n // WINDOW, H]`."""
    count = frames.shape[1] // WINDOW
    windows = frames[:, : count * WINDOW].reshape(len(frames), count, WINDOW, *frames.shape[2:])
    spread = windows.max(2).astype(np.int16) - windows.min(2)  # [B, count, H, W, 3]
    return ((spread.max(-1) > CHANGED).sum(-1) >= PIXELS).astype(bool)


def bands(rows: np.ndarray) -> list[slice]:
    """Runs of rows that always move: bool `[windows, H]` -> slices of rows."""
    always = np.concatenate([[False], rows.mean(0) >= ALWAYS, [False]])
    edges = np.flatnonzero(always[1:] != always[:-1])
    return [slice(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def moving(generated: np.ndarray, real: np.ndarray) -> tuple[list[Figure], Table, list[str]]:
    """Share of bands and windows that move, among the bands that always do in the real world (lanes of a road, say).

    Args:
        generated, real: frames of play under the same policy, uint8 `[B, n, H, W, 3]`.
    """
    real_rows, rows = moving_rows(real), moving_rows(generated)
    found = bands(real_rows.reshape(-1, real_rows.shape[-1]))
    table = Table(f"Bands that move within {WINDOW} frames, %", ("rows", "real", "generated"), [])
    if not found:
        return [], table, ["Nothing in the real world moves all the time: there are no bands to check."]
    share = np.stack([rows[..., band].mean(-1) >= 0.5 for band in found], axis=-1)  # [B, windows, bands]
    real_share = np.stack([real_rows[..., band].mean(-1) >= 0.5 for band in found], axis=-1)
    for i, band in enumerate(found):
        table.rows.append(
            (f"{band.start}-{band.stop - 1}", 100 * float(real_share[..., i].mean()), 100 * float(share[..., i].mean()))
        )
    label = f"moving, of {len(found)} bands that always do"
    reference = f"real play {100 * real_share.mean():.1f} %"
    return [mean_figure("motion.moving", label, share.mean((1, 2)), "%", reference)], table, []


class Counter:
    """Learns from real frames which jump is counted, and how large a change of the counter is.

    Args:
        probe: what jumps, and where it is counted. names: of the state's components.
        split: real frames with exact state and rewards.
        codec: of the evaluated world; its noise is no change of the counter.

    Raises:
        WorldsimError: if there is no such jump, or the counter does not change with it.
    """

    def __init__(self, probe: CounterProbe, names: Sequence[str], split: RecordingSplit, codec: Codec, seed: int = 0):
        self._mover = names.index(probe.mover)
        rewarded = split.rewards > 0
        events = split.draw(160, SETTLE + 1, SETTLE + 2, seed, rewarded)
        others = split.draw(320, SETTLE + 1, SETTLE + 2, seed, ~_near(rewarded, 2 * SETTLE + 2))
        before, after = (events.state[:, events.context - 1 + k, self._mover] for k in (0, 1))
        self._jump = float(np.median(after - before)) / 2
        self._edge = float(np.quantile(before * np.sign(self._jump), 0.99)) + abs(self._jump) / 10
        height, width = events.frames.shape[2:4]
        top, bottom, left, right = np.round(np.array(probe.area) * (height, height, width, width)).astype(int)
        self._area = slice(top, bottom), slice(left, right)
        counted, uncounted = (
            self._change(*np.moveaxis(codec(s.frames[:, [SETTLE - 1, 2 * SETTLE]]), 1, 0)) for s in (events, others)
        )
        low, high = float(np.quantile(uncounted, 0.9)), float(np.quantile(counted, 0.1))
        if low >= high:
            raise WorldsimError(f"the counter does not change whenever {probe.mover} jumps with a reward")
        self._threshold = (low + high) / 2

    def jumps(self, state: np.ndarray) -> np.ndarray:
        """Frames within `LEAD` of which the mover jumps as when it is counted: state `[n, S]` -> indices."""
        y = state[:, self._mover] * np.sign(self._jump)
        lead = np.maximum.reduce([y[k : len(y) - LEAD + k] for k in range(1, LEAD + 1)]) - y[:-LEAD]
        hits = np.flatnonzero((lead > abs(self._jump)) & (y[:-LEAD] <= self._edge))
        return hits[np.concatenate([[True], np.diff(hits) > SETTLE])] if len(hits) else hits

    def counted(self, frames: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Whether the counter changes after these frames: uint8 `[n, H, W, 3]`, `[k]` -> bool `[k]`."""
        after = np.minimum(at + LEAD + SETTLE, len(frames) - 1)
        return self._change(frames[np.maximum(at - 1, 0)], frames[after]) > self._threshold

    def _change(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Mean change of the counter, two of uint8 `[n, H, W, 3]` -> `[n]`."""
        rows, columns = self._area
        change = after[:, rows, columns].astype(np.int16) - before[:, rows, columns]
        return np.abs(change).mean((1, 2, 3))


def counting(
    counter: Counter, read: ReadState, generated: np.ndarray, real: np.ndarray
) -> tuple[list[Figure], Table, list[Strip]]:
    """Share of the jumps that are counted, and counts without a jump.

    Args:
        generated, real: play under the same policy, uint8 `[B, n, H, W, 3]`, the real frames encoded and decoded.
    """
    counts = [_count(counter, read, frames) for frames in (real, generated)]
    (true, _), (own, strips) = counts
    reference = f"{own.counted} of {own.jumps}; real play {100 * true.share:.0f} %"
    net = own.share - own.false / max(own.quiet, 1)
    figures = [
        share_figure("motion.counted", "jumps that the counter counts", own.counted, own.jumps, reference),
        share_figure("motion.ghosts", "counter changes without a jump", own.false, max(own.quiet, 1)),
        Figure(
            "motion.counted_net",
            "jumps counted, less changes without a jump",
            net,
            "%",
            None,
            "a counter that flickers counts nothing",
            own.jumps,
        ),
    ]
    rows: list[tuple[Any, ...]] = [("real", *true), ("generated", *own)]
    columns = ("frames", "jumps", "counted", "quiet moments", "changed without a jump")
    return figures, Table("Counter", columns, rows), strips


class Counts(NamedTuple):
    """Jumps and how many of them the counter counted; moments without one, and at how many of them it changed."""

    jumps: int
    counted: int
    quiet: int
    false: int

    @property
    def share(self) -> float:
        """Of the jumps, those counted; NaN without any."""
        return self.counted / self.jumps if self.jumps else float("nan")


def _count(counter: Counter, read: ReadState, frames: np.ndarray) -> tuple[Counts, list[Strip]]:
    """The counts over frames uint8 `[B, n, H, W, 3]`, and up to two strips of a jump."""
    total = np.zeros(4, int)
    strips: list[Strip] = []
    for row in frames:
        hits = counter.jumps(read(row))
        hits = hits[hits < len(row) - LEAD - SETTLE]
        if len(hits) and len(strips) < 2:
            index = np.clip(hits[0] + np.arange(-3, 9), 0, len(row) - 1)
            title = f"A jump to count, at frame {hits[0]}"
            strips.append(Strip(title, {"generated": row[index]}, tuple(map(str, index))))
        quiet = np.arange(2, len(row) - LEAD - SETTLE, WINDOW)
        quiet = quiet[[not len(hits) or np.abs(hits - q).min() > 2 * (LEAD + SETTLE) for q in quiet]]
        counted, false = counter.counted(row, hits), counter.counted(row, quiet)
        total += (len(hits), counted.sum(), len(quiet), false.sum())
    return Counts(*total.tolist()), strips


def motion_section(runs: int, frames: int) -> Section:
    """The section that both instruments fill."""
    method = f"The {runs} free runs of {frames} frames, beside real play under the same policy."
    return Section("motion", "Motion and counting", method)


def _near(flags: np.ndarray, distance: int) -> np.ndarray:
    """Flags spread to their neighbours on both sides."""
    return np.convolve(flags, np.ones(2 * distance + 1), mode="same") > 0
