"""Drift: long free-running rollouts beside real play under the same policy. Do frames stay in distribution?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from worldsim.evals import metrics
from worldsim.evals.core import Codec
from worldsim.evals.section import Curves, Figure, Section, Strip, Table, mean_figure

CODEC_STRIDE = 8  # of real play, every so manyth frame goes through the codec
BIN = 100  # frames of one point of a curve
BROKEN = 30  # frames in a row without detail end a run
KINDS = ("blank", "noise", "out of distribution")


class Novelty(NamedTuple):
    """How detailed and how novel frames are, each float `[B, n]`.

    Attributes:
        energy: high-frequency energy, levels of 255.
        distance: of the thumbnail to the nearest real one, levels of 255.
    """

    energy: np.ndarray
    distance: np.ndarray


def drift(generated: np.ndarray, real: np.ndarray, gallery: np.ndarray, codec: Codec) -> Section:
    """Palette, high-frequency energy and novelty of generated frames against real ones, and the share that collapsed.

    A frame is collapsed if it is blank (its high-frequency energy under half of what 99% of real frames have), noise
    (over twice of what 99% stay under), or out of distribution (its thumbnail farther from every real frame of the
    gallery than 1.25 times what 99% of real frames are). Real means: under the same policy, encoded and decoded.

    Args:
        generated, real: uint8 `[B, n, H, W, 3]`, the real rows any number.
        gallery: real frames of the train split, uint8 `[m, H, W, 3]`.
    """
    decoded = codec(real[:, ::CODEC_STRIDE])
    thumbnails = metrics.thumbnails(gallery)
    ours, theirs = _novelty(generated, thumbnails), _novelty(decoded, thumbnails)
    collapsed, real_collapsed = _collapsed(ours, theirs), _collapsed(theirs, theirs)
    flat, real_flat = (part.energy < np.median(theirs.energy) / 2 for part in (ours, theirs))
    any_collapsed = np.logical_or.reduce(list(collapsed.values()))
    section = Section(
        "drift",
        "Long free-running rollouts",
        f"{len(generated)} held-out starts, {generated.shape[1] - 1} free-running frames under the scripted policy, "
        "which sees generated frames only; an episode that ends restarts. Compared with "
        f"{len(real)} runs of {real.shape[1] - 1} frames of the real world under the same policy, its frames encoded "
        "and decoded.",
    )
    section.figures.extend(
        [
            mean_figure(
                "drift.collapsed",
                "collapsed frames",
                any_collapsed.mean(1),
                "%",
                f"real play {100 * np.logical_or.reduce(list(real_collapsed.values())).mean():.2f} %",
            ),
            mean_figure(
                "drift.flat",
                "frames with under half of the real median's high-frequency energy",
                flat.mean(1),
                "%",
                f"real play {100 * real_flat.mean():.1f} %",
            ),
            _broken(any_collapsed | flat),
            mean_figure(
                "drift.detail",
                "high-frequency energy against real",
                ours.energy.mean(1) / theirs.energy.mean(),
                reference="1 is real",
            ),
            _palette(generated, real, decoded),
        ]
    )
    rows = [(kind, 100 * float(collapsed[kind].mean()), 100 * float(real_collapsed[kind].mean())) for kind in KINDS]
    section.tables.append(Table("Collapsed frames by kind, %", ("kind", "generated", "real play"), rows))
    section.curves.append(_curve("High-frequency energy", ours.energy, theirs.energy))
    section.curves.append(_curve("Distance to the nearest real frame", ours.distance, theirs.distance))
    section.strips.extend(_strips(generated, real, any_collapsed.mean(1) + flat.mean(1)))
    return section


def _novelty(frames: np.ndarray, gallery: np.ndarray) -> Novelty:
    distance = metrics.nearest_distance(metrics.thumbnails(frames), gallery)
    return Novelty(metrics.detail(frames), distance.reshape(frames.shape[:2]))


def _collapsed(frames: Novelty, real: Novelty) -> dict[str, np.ndarray]:
    """Whether frames are collapsed in each of the ways `KINDS`, bool `[B, n]`, by thresholds from real ones."""
    blank, noise = np.quantile(real.energy, 0.01) / 2, np.quantile(real.energy, 0.99) * 2
    far = np.quantile(real.distance, 0.99) * 1.25
    return dict(zip(KINDS, (frames.energy < blank, frames.energy > noise, frames.distance > far), strict=True))


def _broken(flags: np.ndarray) -> Figure:
    runs, n = flags.shape
    first = np.array([_first_run(row, BROKEN) for row in flags])
    ended = first < n
    reference = f"first at frame {first.min()}" if ended.any() else ""
    label = f"runs with {BROKEN} flat or collapsed frames in a row"
    return Figure("drift.broken", label, float(ended.mean()), "%", None, reference, runs)


def _palette(generated: np.ndarray, real: np.ndarray, decoded: np.ndarray) -> Figure:
    half = len(real) // 2
    floor = metrics.palette_distance(real[:half], real[half:]) if half else float("nan")
    reference = f"real play against itself {floor:.3f}; 0 same, 1 nothing in common"
    distance = metrics.palette_distance(generated, decoded)
    return Figure("drift.palette", "palette distance to real play", distance, reference=reference)


def _curve(title: str, generated: np.ndarray, real: np.ndarray) -> Curves:
    n = generated.shape[1]
    bins = [slice(i, min(i + BIN, n)) for i in range(0, n, BIN)]
    middle = np.array([(b.start + b.stop) / 2 for b in bins])
    means = np.array([generated[:, b].mean() for b in bins])
    lines = {"generated": (middle, means), "real play": (middle, np.full(len(bins), real.mean()))}
    return Curves(title, "frames", "levels", lines)


def _strips(generated: np.ndarray, real: np.ndarray, damage: np.ndarray) -> list[Strip]:
    """The best, the middle and the worst run by damage `[B]`, and a real one."""
    at, at_real = (np.linspace(0, frames.shape[1] - 1, 14).round().astype(int) for frames in (generated, real))
    order = np.argsort(damage)
    strips = []
    for name, row in (("best", order[0]), ("middle", order[len(order) // 2]), ("worst", order[-1])):
        title = f"Free-running, {name} of {len(generated)}"
        strips.append(Strip(title, {"generated": generated[row, at]}, tuple(map(str, at))))
    return [*strips, Strip("Real play, the same policy", {"real": real[0, at_real]}, tuple(map(str, at_real)))]


def _first_run(flags: np.ndarray, length: int) -> int:
    """Where the first `length` true values in a row begin; the number of values if nowhere."""
    if len(flags) < length:
        return len(flags)
    sums = np.convolve(flags, np.ones(length, int), mode="valid")
    return int(np.argmax(sums == length)) if (sums == length).any() else len(flags)
