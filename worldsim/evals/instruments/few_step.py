"""Few passes against many: how far one frame and free runs are from those of many passes, and from real ones.

Knows frames and latents only. N contexts, n frames, C x h x w latents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from worldsim.evals import metrics
from worldsim.evals.frechet import FrechetProbe
from worldsim.evals.scenes import Scenes
from worldsim.evals.section import Curves, Figure, Section, Table, mean_figure
from worldsim.evals.statistics import Interval

COLUMNS = (
    "sampler, passes",
    "evaluations",
    "ms a frame",
    "latent distance",
    "Fréchet",
    "95 %",
    "Fréchet, two frames",
    "95 %",
    "high frequencies",
)


class OneFrame(NamedTuple):
    """What a candidate made.

    Attributes:
        latents: `[N, C, h, w]`. frames: uint8 `[N, H, W, 3]`.
        evaluations: passes of the denoiser a frame. milliseconds: of a frame at batch 1, everything included, in torch.
    """

    latents: np.ndarray
    frames: np.ndarray
    evaluations: int
    milliseconds: float


class FreeRun(NamedTuple):
    """Free-running frames of one world, uint8 `[N, n, H, W, 3]`, by `evaluations` passes each."""

    name: str
    evaluations: int
    frames: np.ndarray


def one_frame_section(
    made: Mapping[str, tuple[str, OneFrame]],
    reference: str,
    before: np.ndarray,
    real: np.ndarray,
    decoded: np.ndarray,
) -> Section:
    """One frame from real ones, by every sampler.

    Args:
        made: name -> group and what was made.
        reference: name of what latent distances are to.
        before, real: latents of the newest context frames and of the real next ones `[N, C, h, w]`.
        decoded: the real next frames, encoded and decoded, uint8 `[N, H, W, 3]`.
    """
    n = len(real)
    flat, pairs = real.reshape(n, -1), np.concatenate([before.reshape(n, -1), real.reshape(n, -1)], axis=1)
    single, double, detail = FrechetProbe(flat), FrechetProbe(pairs), float(metrics.detail(decoded).mean())
    floors = f"real against real: {single.floor:.4g}, two frames {double.floor:.4g}"
    section = Section(
        "few_step",
        "One frame from real ones",
        f"{n} held-out contexts, the same noise for all. Latent distance: root mean square, to {reference} (samplers "
        "that add noise end elsewhere). Fréchet distance to real next latents, alone and beside the frame before, over "
        f"{single.dimensions} and {double.dimensions} principal components, {n // 2} against {n - n // 2} samples "
        f"from other contexts, at temperature 1 ({floors}); bootstrap intervals lie a little high. High frequencies: "
        "against real frames encoded and decoded. Milliseconds: a whole frame at batch 1 in torch.",
    )
    rows: list[tuple[Any, ...]] = []
    lines: dict[str, list[tuple[float, float, float]]] = {}
    target = made[reference][1].latents
    for name, (group, frame) in made.items():
        apart = np.sqrt(np.square(frame.latents - target).mean((1, 2, 3)))
        alone, interval = single.distance(frame.latents.reshape(n, -1))
        both, interval_both = double.distance(np.concatenate([before.reshape(n, -1), frame.latents.reshape(n, -1)], 1))
        sharp = float(metrics.detail(frame.frames).mean()) / detail
        cost = frame.evaluations, frame.milliseconds
        texts = _text(interval), _text(interval_both)
        rows.append((name, *cost, float(apart.mean()), alone, texts[0], both, texts[1], sharp))
        short = slug(name)
        figures = [
            mean_figure(f"few_step.distance.{short}", f"{name}: latent distance to {reference}", apart),
            Figure(f"few_step.frechet.{short}", f"{name}: Fréchet distance", alone, "", interval, floors, n),
            Figure(f"few_step.frechet_pair.{short}", f"{name}: of two frames", both, "", interval_both, floors, n),
            Figure(f"few_step.detail.{short}", f"{name}: high frequencies against real", sharp, reference="1 is real"),
        ]
        section.figures.extend(figures)
        lines.setdefault(group, []).append((frame.milliseconds, both, frame.evaluations))
    section.tables.append(Table("One frame from real ones", COLUMNS, rows))
    for x, title, column in (("ms a frame", "time", 0), ("evaluations", "evaluations", 2)):
        curves = {g: (np.array(sorted(v))[:, column], np.array(sorted(v))[:, 1]) for g, v in lines.items()}
        section.curves.append(Curves(f"Quality against {title}", x, "Fréchet, two frames", curves, log_x=True))
    return section


def free_run_section(runs: Sequence[FreeRun], scenes: Scenes, decoded: np.ndarray, horizons: Sequence[int]) -> Section:
    """Free runs under recorded actions.

    Args:
        runs: of the scenes. decoded: their real frames, encoded and decoded, at `horizons` `[N, len(horizons), ...]`.
    """
    section = Section(
        "few_step_free",
        "Free-running",
        f"{len(scenes)} held-out scenes under their recorded actions. PSNR in dB against the real frames (where the "
        "world is stochastic it prefers an average), and high-frequency energy against that of the real frames, "
        "encoded and decoded.",
    )
    at, rows = [h - 1 for h in horizons], []
    real = metrics.detail(decoded).mean(0)
    for run in runs:
        psnr = metrics.psnr(run.frames[:, at], scenes.truth[:, at])
        sharp = metrics.detail(run.frames[:, at]) / real
        rows.append((run.name, run.evaluations, *psnr.mean(0).tolist(), *sharp.mean(0).tolist()))
        for i, h in enumerate(horizons):
            short = f"{slug(run.name)}_{h}"
            label = f"{run.name}: free-running PSNR at {h}"
            section.figures.append(mean_figure(f"few_step_free.psnr.{short}", label, psnr[:, i], "dB"))
            label = f"{run.name}: high frequencies at {h}"
            figure = mean_figure(f"few_step_free.detail.{short}", label, sharp[:, i], reference="1 is real")
            section.figures.append(figure)
    columns = ("", "evaluations", *(f"PSNR at {h}" for h in horizons), *(f"detail at {h}" for h in horizons))
    section.tables.append(Table("Free-running", columns, rows))
    return section


def slug(name: str) -> str:
    """A name as part of a figure's key."""
    return "_".join("".join(c if c.isalnum() else " " for c in name.lower()).split())


def _text(interval: Interval) -> str:
    return f"{interval[0]:.3g} … {interval[1]:.3g}"
