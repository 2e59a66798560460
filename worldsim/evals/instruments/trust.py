"""Trust: does a world know when it is wrong? What it says of its own frames, held against what really came.

Knows no network. N scenes, n frames.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from worldsim.evals import metrics
from worldsim.evals.core import Codec
from worldsim.evals.section import Curves, Figure, Section, Table

WORST = (0.2, 0.1, 0.05)  # shares of the frames generated from real ones that count as wrong
WRONG = (3.0, 6.0, 10.0)  # dB by which a wrong frame of a free run is below what the codec alone would reach
JUDGED_WORST, JUDGED_WRONG = 0.1, 6.0


class Heard(NamedTuple):
    """Frames, and what was said of them.

    Attributes:
        frames: generated, uint8 `[N, n, H, W, 3]`. truth: what really came.
        uncertainty: float32 `[N, n]`.
    """

    frames: np.ndarray
    truth: np.ndarray
    uncertainty: np.ndarray


class Unlike(NamedTuple):
    """How unlike what the world learned from frames are, by its own word.

    Attributes:
        free: float `[N, n]`, of a free run.
        real: float `[M]`, of real frames that it never saw, encoded and decoded.
        turned: float `[M]`, of the same frames, upside down.
    """

    free: np.ndarray
    real: np.ndarray
    turned: np.ndarray


def auroc(score: np.ndarray, positive: np.ndarray) -> float:
    """The chance that a positive has a higher score than a negative, ties counting half; NaN without both."""
    from scipy.stats import rankdata

    ranks, positives = rankdata(score), int(positive.sum())
    negatives = positive.size - positives
    if not positives or not negatives:
        return float("nan")
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def trust(one_frame: Heard, free: Heard, unlike: Unlike, codec: Codec) -> Section:
    """Whether uncertain frames are wrong ones.

    Args:
        one_frame: each generated from real frames.
        free: free-running.
        unlike: "ood", of the same free run.
    """
    scenes, n = free.uncertainty.shape
    some = free.truth[:, :: max(1, n // 4)]
    ceiling = metrics.psnr(codec(some), some).mean()
    section = Section(
        "trust",
        "Does it know when it is wrong?",
        f"The {scenes} scenes of fidelity. Uncertainty is by how much the sampler's passes differ; doubt is the sum "
        f"of it since the last real frame; ood is by how much a frame's latents differ from those of the picture they "
        f"become: held-out frames must have less of it than the same {len(unlike.real)} upside down. "
        f"Of {one_frame.uncertainty.size} frames generated from real ones, those with "
        f"the largest error count as wrong; of free runs of {n} frames, those whose PSNR is d dB below the "
        f"encode-decode ceiling of {ceiling:.1f} dB. AUROC: the chance that a wrong frame has a higher "
        "score than a right one; 0.5 is a guess.",
    )
    error = -metrics.psnr(one_frame.frames, one_frame.truth)
    worst = {f"the worst {share:.0%}": error > np.quantile(error, 1 - share) for share in WORST}
    known = _table("One frame from real ones: AUROC", {"uncertainty": one_frame.uncertainty}, worst)

    psnr = metrics.psnr(free.frames, free.truth)  # [N, n]
    wrong = {f"wrong by > {d:g} dB": psnr < ceiling - d for d in WRONG}
    doubt, steps = np.cumsum(free.uncertainty, axis=1), np.arange(1, n + 1)
    counted = np.broadcast_to(steps, psnr.shape)
    scores = {"doubt": doubt, "frames since the last real one": counted, "ood": unlike.free}
    drifted = _table("Free-running: AUROC", scores, wrong)

    section.tables.extend([known, drifted])
    label = f"AUROC of uncertainty, the worst {JUDGED_WORST:.0%} of frames from real ones"
    section.figures.append(Figure("trust.uncertainty_auroc", label, known.rows[0][1 + WORST.index(JUDGED_WORST)]))
    label, (own, other) = f"AUROC of doubt, free-running frames wrong by > {JUDGED_WRONG:g} dB", drifted.rows[:2]
    column = 1 + WRONG.index(JUDGED_WRONG)
    beside = f"of counting frames {other[column]:.3f}"
    section.figures.append(Figure("trust.doubt_auroc", label, own[column], reference=beside))
    told = auroc(np.concatenate([unlike.real, unlike.turned]), np.repeat([False, True], len(unlike.real)))
    medians = f"median {np.median(unlike.turned):.2f} against {np.median(unlike.real):.2f}"
    section.figures.append(
        Figure("trust.ood_auroc", "AUROC of ood, upside down or held-out frames", told, reference=medians)
    )
    lines = {"PSNR below the ceiling": (steps, (ceiling - psnr).mean(0))}
    section.curves.append(Curves("Further from the truth", "frames since the last real one", "dB", lines, log_x=True))
    lines = {"doubt": (steps, doubt.mean(0)), "ood x 10": (steps, 10 * unlike.free.mean(0))}
    section.curves.append(Curves("Doubt", "frames since the last real one", "standard deviations", lines, log_x=True))
    return section


def _table(title: str, scores: dict[str, np.ndarray], wrong: dict[str, np.ndarray]) -> Table:
    rows: list[tuple[Any, ...]] = [
        (name, *(auroc(score.ravel(), bad.ravel()) for bad in wrong.values())) for name, score in scores.items()
    ]
    shares = (f"{bad.mean():.0%}" for bad in wrong.values())
    return Table(title, ("", *wrong), [*rows, ("share of the frames", *shares)])
