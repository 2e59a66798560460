"""Trust: does a world know when it is wrong? Its uncertainty and OOD scores against the real frames.

Knows no network. N scenes, n frames.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from worldsim.evals import metrics
from worldsim.evals.core import Codec
from worldsim.evals.section import Curves, Figure, Section, Table

WORST = (0.2, 0.1, 0.05)  # shares of the frames generated from real ones that count as wrong
WRONG = (3.0, 6.0, 10.0)  # dB by which a wrong frame of a free run is below the encode-decode ceiling
JUDGED_WORST, JUDGED_WRONG = 0.1, 6.0


class Predictions(NamedTuple):
    """Generated frames and how uncertain the world was of them.

    Attributes:
        frames: generated, uint8 `[N, n, H, W, 3]`. truth: the real ones.
        uncertainty: float32 `[N, n]`.
    """

    frames: np.ndarray
    truth: np.ndarray
    uncertainty: np.ndarray


class OODScores(NamedTuple):
    """The world's out-of-distribution score of frames.

    Attributes:
        free: float `[N, n]`, of a free run.
        real: float `[M]`, of held-out real frames, encoded and decoded.
        flipped: float `[M]`, of the same frames, upside down.
    """

    free: np.ndarray
    real: np.ndarray
    flipped: np.ndarray


def auroc(score: np.ndarray, positive: np.ndarray) -> float:
    """The chance that a positive has a higher score than a negative, ties counting half; NaN without both."""
    from scipy.stats import rankdata

    ranks, positives = rankdata(score), int(positive.sum())
    negatives = positive.size - positives
    if not positives or not negatives:
        return float("nan")
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def trust(one_frame: Predictions, free: Predictions, ood: OODScores, codec: Codec) -> Section:
    """AUROC of the world's own scores for detecting wrong frames.

    Args:
        one_frame: each generated from real frames.
        free: free-running.
        ood: of the same free run.
    """
    scenes, n = free.uncertainty.shape
    some = free.truth[:, :: max(1, n // 4)]
    ceiling = float(metrics.psnr(codec(some), some).mean())
    section = Section(
        "trust",
        "Does it know when it is wrong?",
        f"The {scenes} scenes of fidelity. Uncertainty: how much the sampler's passes differ. Cumulative uncertainty: "
        "its sum since the last real frame. OOD: how much a frame's latents differ from those of its decoded and "
        f"encoded frame; held-out frames should score lower than the same {len(ood.real)} frames upside down. Of "
        f"{one_frame.uncertainty.size} frames generated from real ones, those with the largest error count as wrong; "
        f"of free runs of {n} frames, those whose PSNR is d dB below the encode-decode ceiling of {ceiling:.1f} dB. "
        "AUROC: the probability that a wrong frame has a higher score than a right one; 0.5 is chance.",
    )
    error = -metrics.psnr(one_frame.frames, one_frame.truth)
    worst = {f"the worst {share:.0%}": error > np.quantile(error, 1 - share) for share in WORST}
    teacher_forced = _table("One frame from real ones: AUROC", {"uncertainty": one_frame.uncertainty}, worst)

    psnr = metrics.psnr(free.frames, free.truth)  # [N, n]
    wrong = {f"wrong by > {d:g} dB": psnr < ceiling - d for d in WRONG}
    cumulative, steps = np.cumsum(free.uncertainty, axis=1), np.arange(1, n + 1)
    scores = {
        "cumulative uncertainty": cumulative,
        "frames since the last real one": np.broadcast_to(steps, psnr.shape),
        "OOD": ood.free,
    }
    free_running = _table("Free-running: AUROC", scores, wrong)
    section.tables.extend([teacher_forced, free_running])
    section.figures.extend(_figures(teacher_forced, free_running, ood))
    lines = {"PSNR below the ceiling": (steps, (ceiling - psnr).mean(0))}
    section.curves.append(Curves("Error of free runs", "frames since the last real one", "dB", lines, log_x=True))
    lines = {"cumulative uncertainty": (steps, cumulative.mean(0)), "OOD x 10": (steps, 10 * ood.free.mean(0))}
    unit = "standard deviations"
    section.curves.append(Curves("Scores of free runs", "frames since the last real one", unit, lines, log_x=True))
    return section


def _figures(teacher_forced: Table, free_running: Table, ood: OODScores) -> list[Figure]:
    label = f"AUROC of uncertainty for detecting the worst {JUDGED_WORST:.0%} of frames from real ones"
    uncertainty = Figure("trust.uncertainty_auroc", label, teacher_forced.rows[0][1 + WORST.index(JUDGED_WORST)])
    label = f"AUROC of cumulative uncertainty for detecting free-running frames wrong by > {JUDGED_WRONG:g} dB"
    (own, counting), column = free_running.rows[:2], 1 + WRONG.index(JUDGED_WRONG)
    reference = f"of counting frames {counting[column]:.3f}"
    cumulative = Figure("trust.doubt_auroc", label, own[column], reference=reference)
    both = np.concatenate([ood.real, ood.flipped])
    flipped = auroc(both, np.repeat([False, True], len(ood.real)))
    label = "AUROC of OOD for telling upside-down frames from held-out ones"
    medians = f"median {np.median(ood.flipped):.2f} against {np.median(ood.real):.2f}"
    return [uncertainty, cumulative, Figure("trust.ood_auroc", label, flipped, reference=medians, n=len(both))]


def _table(title: str, scores: dict[str, np.ndarray], wrong: dict[str, np.ndarray]) -> Table:
    rows: list[tuple[Any, ...]] = [
        (name, *(auroc(score.ravel(), bad.ravel()) for bad in wrong.values())) for name, score in scores.items()
    ]
    shares = (f"{bad.mean():.0%}" for bad in wrong.values())
    return Table(title, ("", *wrong), [*rows, ("share of the frames", *shares)])
