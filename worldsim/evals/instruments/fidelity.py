"""Fidelity: how close generated frames are to the real ones, over horizon. Knows frames only."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from worldsim.evals import metrics
from worldsim.evals.core import Codec, ProgressCallback, Simulator, StepObserver, no_observer, no_progress, rollout
from worldsim.evals.scenes import Scenes
from worldsim.evals.section import Curves, Section, Strip, Table, mean_figure
from worldsim.evals.statistics import mean_interval
from worldsim.psnr import psnr_of_error

HORIZONS = (1, 4, 16, 64, 256)
MOVED = 24  # levels of 255 by which a pixel changes where something moves
START, BEFORE = "copy of the last frame", "copy of the frame before"


def horizons_within(longest: int) -> tuple[int, ...]:
    """The horizons that a recording's held-out episodes can be followed to; none if not even one frame."""
    return tuple(h for h in HORIZONS if h <= longest)


def teacher_forced(
    simulator: Simulator,
    scenes: Scenes,
    horizons: Sequence[int],
    on_progress: ProgressCallback = no_progress,
    observer: StepObserver = no_observer,
) -> np.ndarray:
    """The frame at each horizon, generated from the real frames before it: uint8 `[N, len(horizons), H, W, 3]`.

    `observer` is called with i as the frame's number for the i-th horizon.
    """
    columns = []
    for i, h in enumerate(horizons):
        first, last = h - 1, h - 1 + scenes.context
        context = scenes.frames[:, first:last], scenes.actions[:, first : last - 1]
        future = scenes.actions[:, last - 1 : last]
        columns.append(rollout(simulator, *context, future, h, on_progress, functools.partial(_at, observer, i)))
    return np.concatenate(columns, axis=1)


def _at(observer: StepObserver, i: int, rows: slice, t: int, state: Any) -> None:
    observer(rows, i, state)


def fidelity(scenes: Scenes, free: np.ndarray, forced: np.ndarray, codec: Codec, horizons: Sequence[int]) -> Section:
    """PSNR and SSIM over horizon, beside the copied last frame and the encode-decode ceiling.

    Args:
        free: free-running frames of the scenes, uint8 `[N, n, H, W, 3]`.
        forced: `teacher_forced` frames at `horizons`.
    """
    at = np.array(horizons) - 1
    truth, before = scenes.truth[:, at], scenes.frames[:, scenes.context - 1 + at]
    decoded = codec(truth)
    shown = {
        "free-running": free[:, at],
        START: np.broadcast_to(scenes.frames[:, scenes.context - 1, None], truth.shape),
        "teacher-forced": forced,
        BEFORE: before,
        "encode-decode ceiling": decoded,
    }
    psnr = {name: metrics.psnr(frames, truth) for name, frames in shown.items()}  # [N, horizons]
    ssim = {name: metrics.ssim(frames, truth) for name, frames in shown.items()}
    section = Section(
        "fidelity",
        "Fidelity",
        f"{len(scenes)} held-out scenes of {scenes.context} context frames; free-running to {max(horizons)} frames, "
        "teacher-forced one frame from real ones; PSNR in dB and SSIM against the real frames, means over scenes with "
        "95% bootstrap intervals.",
    )
    moved, ceiling = _moved_psnr(truth, before, decoded), psnr["encode-decode ceiling"]
    section.figures.append(mean_figure("fidelity.codec_psnr", "encode-decode PSNR", ceiling.mean(1), "dB"))
    label = "encode-decode PSNR where something moves"
    section.figures.append(mean_figure("fidelity.codec_moving_psnr", label, moved, "dB"))
    for i, h in enumerate(horizons):
        values, copied = psnr["free-running"][:, i], psnr[START][:, i]
        reference = f"copy {copied.mean():.1f}, ceiling {ceiling[:, i].mean():.1f} dB"
        label = f"free-running PSNR at {h}"
        section.figures.append(mean_figure(f"fidelity.free_psnr_{h}", label, values, "dB", reference))
        section.figures.append(mean_figure(f"fidelity.gain_{h}", f"above copy-last at {h}", values - copied, "dB"))
    for unit, by_name in (("PSNR, dB", psnr), ("SSIM", ssim)):
        rows = [(name, *(float(v) for v in values.mean(0))) for name, values in by_name.items()]
        section.tables.append(Table(f"{unit} at horizon", ("", *map(str, horizons)), rows))
        section.curves.append(_curves(unit, by_name, horizons))
    section.strips.extend(_strips(scenes, free, psnr["free-running"][:, min(2, len(horizons) - 1)]))
    return section


def _curves(unit: str, by_name: dict[str, np.ndarray], horizons: Sequence[int]) -> Curves:
    lines = {}
    for name, values in by_name.items():
        low, high = np.array([mean_interval(column) for column in values.T]).T
        lines[name] = (np.array(horizons), values.mean(0), low, high)
    return Curves(f"{unit.split(',')[0]} over horizon", "frames", unit, lines, log_x=True)


def _strips(scenes: Scenes, free: np.ndarray, psnr: np.ndarray) -> list[Strip]:
    """The best, the middle and the worst scene by PSNR `[N]`."""
    order = np.argsort(psnr)
    steps = np.unique(np.geomspace(1, free.shape[1], 12).round().astype(int)) - 1
    strips = []
    for name, scene in (("best", order[-1]), ("middle", order[len(order) // 2]), ("worst", order[0])):
        rows = {"real": scenes.truth[scene, steps], "generated": free[scene, steps]}
        title = f"Free-running, {name} of {len(scenes)} at 16 frames"
        strips.append(Strip(title, rows, tuple(str(step + 1) for step in steps)))
    return strips


def _moved_psnr(truth: np.ndarray, before: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """PSNR of the decoded frames over pixels unlike the frame before, one a scene; NaN where nothing moved."""
    moved = (np.abs(truth.astype(np.int16) - before).max(-1) > MOVED)[..., None]
    error = ((decoded.astype(np.float32) - truth) ** 2 * moved).sum((1, 2, 3, 4)) / (
        3 * np.maximum(moved.sum((1, 2, 3, 4)), 1)
    )
    return np.where(moved.any((1, 2, 3, 4)), psnr_of_error(error), np.nan)
