"""Sketches and restyled clips, judged: whether lines are followed, the layout is kept, and the look is right.

Knows frames and what was asked; no model and no world. H x W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from worldsim.data.sketch import outlines
from worldsim.evals.instruments.imagine import LOOKED_AT, LookReader
from worldsim.evals.metrics import psnr
from worldsim.evals.permanence.detector import Detection, detect
from worldsim.evals.section import Section, Strip, mean_figure, number, share_figure

NEAR = 2.0  # pixels from a line that still follow it
APART = 3.0  # pixels of 64 that a thing may be from its place
SHOWN = 6  # of a film strip


def followed(lines: np.ndarray, frame: np.ndarray) -> tuple[float, float]:
    """How a frame uint8 `[H, W, 3]` follows lines uint8 `[H, W]`: the share of the lines with an edge within 2 pixels,
    and F1 of that and of the share of the edges with a line as near (Martin et al. 2004). NaN without lines."""
    if not lines.any():
        return np.nan, np.nan
    edges = outlines(frame)
    if not edges.any():
        return 0.0, 0.0
    recall, precision = (
        float((_distance(edges)[lines > 0] <= NEAR).mean()),
        float((_distance(lines)[edges > 0] <= NEAR).mean()),
    )
    return recall, 2 * recall * precision / max(recall + precision, 1e-9)


def _distance(lines: np.ndarray) -> np.ndarray:
    """Of every pixel to the nearest line."""
    return np.asarray(cv2.distanceTransform(np.where(lines > 0, 0, 255).astype(np.uint8), cv2.DIST_L2, 5))


def sketches(drawn: np.ndarray, made: np.ndarray, without: np.ndarray, real: np.ndarray) -> Section:
    """What sketches give.

    Args:
        drawn: sketches uint8 `[N, H, W]` of held-out frames.
        made: the picture of each, `[N, H, W, 3]`. without: of the same words and noise without the sketch.
        real: the frames that were drawn.
    """
    section = Section(
        "imagine-sketch",
        "Sketches to pictures",
        f"Sketches of {len(drawn)} held-out frames, shaky and with strokes left out, and a caption. A line is followed "
        f"where the picture has an edge within {NEAR:g} pixels. Beside: the frames that were drawn, pictures of the "
        "same words and noise without the sketch, and pictures of other sketches (chance).",
    )
    by = {"made": made, "real": real, "without the sketch": without, "another sketch": np.roll(made, 1, axis=0)}
    scores = {
        name: np.array([followed(*pair) for pair in zip(drawn, frames, strict=True)]) for name, frames in by.items()
    }
    for at, (key, label) in enumerate((("followed", "lines followed"), ("f1", "F1 of lines and edges"))):
        beside = ", ".join(f"{name} {number(_mean(s[:, at]), '%')}" for name, s in scores.items() if name != "made")
        section.figures.append(mean_figure(f"imagine-sketch.{key}", label, scores["made"][:, at], "%", beside))
    lines = np.repeat(drawn[..., None], 3, axis=-1)
    rows = {"sketch": lines, "made": made, "without": without, "real": real}
    section.strips.append(Strip("Sketches", {name: frames[:SHOWN] for name, frames in rows.items()}))
    return section


def restyled(
    sources: np.ndarray,
    made: np.ndarray,
    real: np.ndarray,
    looks: Sequence[str],
    told: Sequence[str],
    reader: LookReader,
    areas: Mapping[str, tuple[float, float]],
) -> Section:
    """What instructions make of clips that there are in two looks.

    Args:
        sources: clips uint8 `[N, T, H, W, 3]`. made: made of them. real: the same play really drawn in the other look.
        looks: that were asked for. told: the instructions.
        reader: of looks.
        areas: of the smallest and the largest thing in pixels, for each look that things can be detected in.
    """
    section = Section(
        "imagine-restyle",
        "Clips in another look",
        f"{len(sources)} held-out clips, made again as a few words say, beside the same play really drawn in that "
        f"look. A thing is at its place if its like is found within {APART:g} pixels of 64, in the looks in which "
        "things can be detected. Flicker is the change from frame to frame where the real clip stands still.",
    )
    middle = sources.shape[1] // 2

    def share(clips: np.ndarray) -> int:
        return sum(reader(clip[middle]) == look for clip, look in zip(clips, looks, strict=True))

    beside = ", ".join(f"{name} {number(share(c) / len(c), '%')}" for name, c in (("real", real), ("source", sources)))
    section.figures.append(share_figure("imagine-restyle.look", "look as asked", share(made), len(made), beside))
    alike, reference = psnr(made, real).mean(1), f"source {number(float(psnr(sources, real).mean()), 'dB')}"
    section.figures.append(mean_figure("imagine-restyle.psnr", "PSNR with the real clip", alike, "dB", reference))
    kept, others = (
        [_kept(c, truth, areas[look]) for c, truth, look in zip(clips, real, looks, strict=True) if look in areas]
        for clips in (made, np.roll(made, 1, axis=0))
    )
    reference = f"real 100 %, another clip {number(_mean(others), '%')}"
    section.figures.append(
        mean_figure("imagine-restyle.kept", "things at their places", np.array(kept), "%", reference)
    )
    reference = f"real 0, source {number(_mean(_flicker(sources, real)))}"
    section.figures.append(mean_figure("imagine-restyle.flicker", "flicker", _flicker(made, real), "levels", reference))
    for i in range(min(SHOWN, len(made))):
        rows = {"source": sources[i], "made": made[i], "real": real[i]}
        section.strips.append(Strip(told[i], {name: clip[::LOOKED_AT] for name, clip in rows.items()}))
    return section


def _mean(values: Sequence[float] | np.ndarray) -> float:
    """Of those that are numbers; NaN if there are none."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else np.nan


def _kept(made: np.ndarray, real: np.ndarray, areas: tuple[float, float]) -> float:
    """Share of the things of a real clip that are at their places in another; NaN if there are none."""
    there = kept = 0
    for frame, truth in zip(made[::LOOKED_AT], real[::LOOKED_AT], strict=True):
        things = detect(truth, areas)
        kept += _at_their_places(things, detect(frame, areas), APART * frame.shape[0] / 64)
        there += len(things)
    return kept / there if there else np.nan


def _at_their_places(true: Sequence[Detection], found: Sequence[Detection], apart: float) -> int:
    """How many true detections have a like one of their own within so many pixels."""
    left, count = list(found), 0
    for thing in true:
        like = [d for d in left if (d.colour, d.shape) == (thing.colour, thing.shape)]
        nearest = min(like, key=lambda d: np.hypot(d.x - thing.x, d.y - thing.y), default=None)
        if nearest is not None and np.hypot(nearest.x - thing.x, nearest.y - thing.y) <= apart:
            left.remove(nearest)
            count += 1
    return count


def _flicker(clips: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Mean change of each clip from frame to frame, in levels of 255, where the real clip stands still `[N]`."""
    still = (real[:, 1:] == real[:, :-1]).all(-1)
    change = np.abs(clips[:, 1:].astype(np.float32) - clips[:, :-1]).mean(-1)
    return np.array([c[s].mean() if s.any() else np.nan for c, s in zip(change, still, strict=True)])
