"""Detail: how much of the real high-frequency energy is left the longer a world runs free. Blur is its loss.

N scenes, B runs, n frames.
"""

from __future__ import annotations

import numpy as np

from worldsim.evals import metrics
from worldsim.evals.core import Codec
from worldsim.evals.section import Curves, Section, mean_figure

HORIZONS = (16, 64, 256, 1000)
POINTS = 24  # of a curve


def detail(free: np.ndarray, truth: np.ndarray, generated: np.ndarray, real: np.ndarray, codec: Codec) -> Section:
    """High-frequency energy against real at each of `HORIZONS` that there are frames for, the mean of the last quarter
    of the frames up to there: 1 is real, 0 is a blank wall.

    Args:
        free, truth: frames under recorded keys and the real ones, uint8 `[N, n, H, W, 3]`, which are compared frame by
            frame.
        generated, real: longer play under the same policy, uint8 `[B, n + 1, H, W, 3]`, of which only means can be
            compared: it asks for the horizons that the scenes are too short for.
        codec: of the evaluated world: the energy that its decoder can reach.
    """
    ours, theirs, long, real_long = (metrics.detail(frames) for frames in (free, truth, generated[:, 1:], real[:, 1:]))
    section = Section(
        "detail",
        "Detail over horizon",
        f"High-frequency energy against real. Up to {free.shape[1]} frames: {len(free)} held-out scenes under the "
        f"recorded keys, against the real frames of the same moments. Beyond: {len(generated)} runs under the scripted "
        "policy, against real play under it. At each horizon the mean of the last quarter of the frames up to it.",
    )
    some = truth[:, :: max(1, truth.shape[1] // 8)]
    ceiling = metrics.detail(codec(some)).mean() / max(metrics.detail(some).mean(), 1e-6)
    for horizon in HORIZONS:
        if horizon <= ours.shape[1]:
            kept = _before(ours, horizon) / np.maximum(_before(theirs, horizon), 1e-6)
        elif horizon <= long.shape[1]:
            kept = _before(long, horizon) / max(real_long.mean(), 1e-6)
        else:
            continue
        label = f"detail against real after {horizon:,} frames"
        reference = f"real frames encoded and decoded {100 * ceiling:.0f} %"
        section.figures.append(mean_figure(f"detail.kept_{horizon}", label, kept, "%", reference))
    lines = {
        "recorded keys": _curve(ours, theirs),
        "scripted policy": _curve(long, np.broadcast_to(real_long.mean(), long.shape)),
        "encode-decode": (np.array([1, max(ours.shape[1], long.shape[1])]), np.full(2, 100 * ceiling)),
    }
    section.curves.append(Curves("Detail over horizon", "frames", "%, of real", lines, log_x=True))
    return section


def _before(energy: np.ndarray, horizon: int) -> np.ndarray:
    """The mean energy `[N]` in the last quarter of the frames up to a horizon, of `[N, n]`."""
    return np.asarray(energy[:, horizon * 3 // 4 : horizon].mean(1))


def _curve(energy: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of intervals that grow, and the share of the real energy in each."""
    ends = np.unique(np.geomspace(1, energy.shape[1], POINTS).round().astype(int))
    parts = [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    return ends, np.array([100 * energy[:, p].mean() / max(real[:, p].mean(), 1e-6) for p in parts])
