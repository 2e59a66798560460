"""Drift: a long free run beside real play by the same player. Do the frames still look like frames of this world?"""

from __future__ import annotations

import numpy as np

from worldsim.evals import metrics
from worldsim.evals.core import Codec
from worldsim.evals.section import Curves, Figure, Section, Strip, Table

EVERY = 8  # of real play, every so manyth frame goes through the codec
BIN = 100  # frames of one point of a curve
BROKEN = 30  # frames in a row without detail end a run


def drift(generated: np.ndarray, real: np.ndarray, gallery: np.ndarray, codec: Codec) -> Section:
    """Palette, detail and likeness of generated frames against real ones, and the share of collapsed ones.

    A frame is collapsed if it is blank (its high-frequency energy under half of what 99% of real frames have), noise
    (over twice of what 99% stay under), or like nothing real (its thumbnail farther from every real frame of the
    gallery than 1.25 times what 99% of real frames are). Real means: played by the same player, encoded and decoded.

    Args:
        generated, real: uint8 `[B, n, H, W, 3]`, the real rows any number.
        gallery: real frames of the train split, uint8 `[m, H, W, 3]`.
    """
    n = generated.shape[1]
    reference = codec(real[:, ::EVERY])
    energy, real_energy = metrics.detail(generated), metrics.detail(reference)
    known = metrics.thumbnails(gallery)
    strange, real_strange = (
        metrics.nearest_distance(metrics.thumbnails(f), known).reshape(f.shape[:2]) for f in (generated, reference)
    )
    blank, noise = np.quantile(real_energy, 0.01) / 2, np.quantile(real_energy, 0.99) * 2
    unlike, flat = np.quantile(real_strange, 0.99) * 1.25, np.median(real_energy) / 2
    kinds = {"blank": energy < blank, "noise": energy > noise, "like nothing real": strange > unlike}
    real_kinds = {
        "blank": real_energy < blank,
        "noise": real_energy > noise,
        "like nothing real": real_strange > unlike,
    }
    collapsed, real_collapsed = (np.logical_or.reduce(list(k.values())) for k in (kinds, real_kinds))
    broken = np.array([_first_run(row, BROKEN) for row in collapsed | (energy < flat)])
    half = len(real) // 2
    floor = metrics.palette_distance(real[:half], real[half:]) if half else float("nan")

    section = Section(
        "drift",
        "A long free run",
        f"{len(generated)} held-out starts, {n - 1} free-running frames under the explorer, which sees the "
        f"generated frames only, and what ends begins again; beside "
        f"{len(real)} runs of {real.shape[1] - 1} frames of the real world under the same explorer, its frames "
        f"after encoding and decoding.",
    )
    ratio = float(energy.mean() / real_energy.mean())
    section.figures.extend(
        [
            Figure(
                "drift.collapsed",
                "collapsed frames",
                float(collapsed.mean()),
                "%",
                metrics.interval(collapsed.mean(1)),
                f"real play {100 * real_collapsed.mean():.2f} %",
            ),
            Figure(
                "drift.flat",
                "frames with under half of the real median's detail",
                float((energy < flat).mean()),
                "%",
                metrics.interval((energy < flat).mean(1)),
                f"real play {100 * (real_energy < flat).mean():.1f} %",
            ),
            Figure(
                "drift.broken",
                f"runs with {BROKEN} flat or collapsed frames in a row",
                float((broken < n).mean()),
                "%",
                None,
                f"first at frame {broken.min()}" if (broken < n).any() else "",
            ),
            Figure(
                "drift.detail",
                "high-frequency energy against real",
                ratio,
                "",
                _ratio_interval(energy, real_energy.mean()),
                "1 is real",
            ),
            Figure(
                "drift.palette",
                "palette distance to real play",
                metrics.palette_distance(generated, reference),
                "",
                None,
                f"real play against itself {floor:.3f}; 0 same, 1 nothing in common",
            ),
        ]
    )
    rows = [(name, float(kinds[name].mean()) * 100, float(real_kinds[name].mean()) * 100) for name in kinds]
    section.tables.append(Table("Collapsed frames by kind, %", ("kind", "generated", "real play"), rows))
    bins = [slice(i, min(i + BIN, n)) for i in range(0, n, BIN)]
    middle = np.array([(b.start + b.stop) / 2 for b in bins])
    level = np.full(len(bins), real_energy.mean())
    lines = {"generated": (middle, np.array([energy[:, b].mean() for b in bins])), "real play": (middle, level)}
    section.curves.append(Curves("High-frequency energy", "frames", "levels", lines))
    lines = {
        "generated": (middle, np.array([strange[:, b].mean() for b in bins])),
        "real play": (middle, np.full(len(bins), real_strange.mean())),
    }
    section.curves.append(Curves("Distance to the nearest real frame", "frames", "levels", lines))
    at = np.linspace(0, n - 1, 14).round().astype(int)
    order = np.argsort(collapsed.mean(1) + (energy < flat).mean(1))
    for name, row in (("best", order[0]), ("middle", order[len(order) // 2]), ("worst", order[-1])):
        section.strips.append(
            Strip(f"Free run, {name} of {len(generated)}", {"generated": generated[row, at]}, tuple(map(str, at)))
        )
    at_real = np.linspace(0, real.shape[1] - 1, 14).round().astype(int)
    section.strips.append(Strip("Real play, the same explorer", {"real": real[0, at_real]}, tuple(map(str, at_real))))
    return section


def _first_run(flags: np.ndarray, length: int) -> int:
    """Where the first `length` true values in a row begin; the number of values if nowhere."""
    if len(flags) < length:
        return len(flags)
    sums = np.convolve(flags, np.ones(length, int), mode="valid")
    return int(np.argmax(sums == length)) if (sums == length).any() else len(flags)


def _ratio_interval(energy: np.ndarray, real: float) -> tuple[float, float]:
    low, high = metrics.interval(energy.mean(1))
    return low / real, high / real
