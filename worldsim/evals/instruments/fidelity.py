"""Fidelity: how close generated frames are to what really came, over horizon. Knows frames only."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from worldsim.evals import metrics
from worldsim.evals.core import Codec, Note, Simulator, Tick, rollout, silent, unnoted
from worldsim.evals.scenes import Scenes
from worldsim.evals.section import Curves, Figure, Section, Strip, Table

HORIZONS = (1, 4, 16, 64, 256)
MOVED = 24  # levels of 255 by which a pixel changes where something moves


def horizons_within(longest: int) -> tuple[int, ...]:
    """The horizons that a recording's held-out episodes can be followed to; none if not even one frame."""
    return tuple(h for h in HORIZONS if h <= longest)


def teacher_forced(
    simulator: Simulator, scenes: Scenes, horizons: Sequence[int], tick: Tick = silent, note: Note = unnoted
) -> np.ndarray:
    """The frame at each horizon, generated from the real frames before it: uint8 `[N, len(horizons), H, W, 3]`.

    Of the i-th horizon `note` is told as of frame i.
    """
    columns = []
    for i, h in enumerate(horizons):
        first, last = h - 1, h - 1 + scenes.context
        columns.append(
            rollout(
                simulator,
                scenes.frames[:, first:last],
                scenes.actions[:, first : last - 1],
                scenes.actions[:, last - 1 : last],
                h,
                tick,
                functools.partial(_noted_as, note, i),
            )
        )
    return np.concatenate(columns, axis=1)


def _noted_as(note: Note, i: int, rows: slice, t: int, state: Any) -> None:
    note(rows, i, state)


def fidelity(scenes: Scenes, free: np.ndarray, forced: np.ndarray, codec: Codec, horizons: Sequence[int]) -> Section:
    """PSNR and SSIM over horizon, beside the copied last frame and the encode-decode ceiling.

    Args:
        free: free-running frames of the scenes, uint8 `[N, n, H, W, 3]`.
        forced: `teacher_forced` frames at `horizons`.
    """
    at = np.array(horizons) - 1
    truth, before = scenes.truth[:, at], scenes.frames[:, scenes.context - 1 + at]
    start = np.broadcast_to(scenes.frames[:, scenes.context - 1, None], truth.shape)
    decoded = codec(truth)
    shown = {
        "free-running": free[:, at],
        "copy of the last frame": start,
        "teacher-forced": forced,
        "copy of the frame before": before,
        "encode-decode ceiling": decoded,
    }
    psnr = {name: metrics.psnr(frames, truth) for name, frames in shown.items()}  # [N, horizons]
    ssim = {name: metrics.ssim(frames, truth) for name, frames in shown.items()}
    gain = psnr["free-running"] - psnr["copy of the last frame"]

    ceiling = psnr["encode-decode ceiling"].mean(1)
    section = Section(
        "fidelity",
        "Fidelity",
        f"{len(scenes)} held-out scenes of {scenes.context} context frames; free-running to {max(horizons)} "
        f"frames, teacher-forced "
        "one frame from real ones; PSNR in dB and SSIM against what really came, means over scenes with 95% "
        "bootstrap intervals.",
    )
    section.figures.append(
        Figure("fidelity.codec_psnr", "encode-decode PSNR", float(ceiling.mean()), "dB", metrics.interval(ceiling))
    )
    moved = _moved_psnr(truth, before, decoded)
    section.figures.append(
        Figure(
            "fidelity.codec_moving_psnr",
            "encode-decode PSNR where something moves",
            float(np.nanmean(moved)),
            "dB",
            metrics.interval(moved),
        )
    )
    for i, h in enumerate(horizons):
        copied, best = (psnr[name][:, i].mean() for name in ("copy of the last frame", "encode-decode ceiling"))
        reference = f"copy {copied:.1f}, ceiling {best:.1f} dB"
        values = psnr["free-running"][:, i]
        section.figures.append(
            Figure(
                f"fidelity.free_psnr_{h}",
                f"free-running PSNR at {h}",
                float(values.mean()),
                "dB",
                metrics.interval(values),
                reference,
            )
        )
        section.figures.append(
            Figure(
                f"fidelity.gain_{h}",
                f"above copy-last at {h}",
                float(gain[:, i].mean()),
                "dB",
                metrics.interval(gain[:, i]),
            )
        )
    for unit, values_of in (("PSNR, dB", psnr), ("SSIM", ssim)):
        rows = [(name, *(float(v) for v in values.mean(0))) for name, values in values_of.items()]
        section.tables.append(Table(f"{unit} at horizon", ("", *map(str, horizons)), rows))
        lines = {}
        for name, values in values_of.items():
            low, high = np.array([metrics.interval(column) for column in values.T]).T
            lines[name] = (np.array(horizons), values.mean(0), low, high)
        section.curves.append(Curves(f"{unit.split(',')[0]} over horizon", "frames", unit, lines, log_x=True))
    order = np.argsort(psnr["free-running"][:, min(2, len(horizons) - 1)])
    steps = np.unique(np.geomspace(1, max(horizons), 12).round().astype(int)) - 1
    for name, scene in (("best", order[-1]), ("middle", order[len(order) // 2]), ("worst", order[0])):
        rows_of = {"real": scenes.truth[scene, steps], "generated": free[scene, steps]}
        section.strips.append(
            Strip(f"Free-running, {name} of {len(scenes)} at 16 frames", rows_of, tuple(str(s + 1) for s in steps))
        )
    return section


def _moved_psnr(truth: np.ndarray, before: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """PSNR of the decoded frames over pixels unlike the frame before, one a scene; NaN where nothing moved."""
    moved = (np.abs(truth.astype(np.int16) - before).max(-1) > MOVED)[..., None]
    error = ((decoded.astype(np.float32) - truth) ** 2 * moved).sum((1, 2, 3, 4)) / (
        3 * np.maximum(moved.sum((1, 2, 3, 4)), 1)
    )
    return np.where(moved.any((1, 2, 3, 4)), 10 * np.log10(255.0**2 / np.maximum(error, 1e-9)), np.nan)
