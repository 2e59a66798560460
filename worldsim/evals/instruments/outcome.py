"""Outcomes: predicted rewards and episode ends against held-out play.

Knows no network. N frames, each generated from real ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from worldsim.evals import statistics
from worldsim.evals.instruments.trust import auroc
from worldsim.evals.scenes import RecordingSplit, Scenes
from worldsim.evals.section import Curves, Figure, Section, Table
from worldsim.runtime.session import RAREST

OTHERS = 4  # frames before no event, for each before one
BINS = np.array([0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0])  # of a probability; ends are rare


class Sample(NamedTuple):
    """Frames before a rare event, and others, weighted to be as frequent as in play.

    Attributes:
        scenes: with one frame after the context.
        rare: bool `[N]`, whether the event happened with that frame.
        weight: float64 `[N]`, how many frames of the recording each stands for.
    """

    scenes: Scenes
    rare: np.ndarray
    weight: np.ndarray


def sample(split: RecordingSplit, rare: np.ndarray, context: int, count: int, seed: int) -> Sample | None:
    """Up to `count` frames before the event and `OTHERS` times as many before none, each frame as likely as any other
    of its kind; None if it never happened, or always did.

    Args:
        rare: bool `[M]`, whether the event happened with the action taken on each frame of the recording.
    """
    rng = np.random.default_rng(seed)
    frames = np.concatenate([np.arange(start + context - 1, end - 1) for start, end in split.episodes])
    lasts, weights = [], []
    for kind, most in ((frames[rare[frames]], count), (frames[~rare[frames]], OTHERS * count)):
        if not len(kind):
            return None
        lasts.append(rng.permutation(kind)[:most])
        weights.append(np.full(len(lasts[-1]), len(kind) / len(lasts[-1])))
    scenes = split.scenes(np.concatenate(lasts) - context + 1, context, context + 1)
    return Sample(scenes, np.arange(len(scenes)) < len(lasts[0]), np.concatenate(weights))


def usual_reward(split: RecordingSplit) -> float:
    """The reward that comes most often."""
    rewards, counts = np.unique(split.rewards, return_counts=True)
    return float(rewards[counts.argmax()])


def outcome(
    ends: Sample | None, cont: np.ndarray, rewarded: Sample | None, reward: np.ndarray, usual: float
) -> Section:
    """Whether ends and rewards are predicted, and as often as they happen.

    Args:
        ends: before ends and others. cont: float `[N]`, the predicted probability that the episode goes on.
        rewarded: before unusual rewards and others. reward: float `[N]`, the predicted reward.
        usual: the reward that comes most often.
    """
    section = Section(
        "outcome",
        "Rewards and ends",
        "One frame from real ones: held-out frames before an end or an unusual reward, and others, weighted by how "
        "frequent their kind is. AUROC: the probability that the event is predicted more strongly where it happened "
        "than where it did not; 0.5 is chance. Calibration error: the difference between predicted probability and "
        "observed share, bin by bin (Naeini et al. 2015).",
    )
    if ends is None:
        section.notes.append("No held-out episode ends by itself: ends were not measured.")
    else:
        _ends(section, ends, 1 - cont)
    if rewarded is None:
        section.notes.append("Every held-out frame has the same reward: rewards were not measured.")
    else:
        _rewards(section, rewarded, reward, usual)
    return section


def _ends(section: Section, ends: Sample, predicted: np.ndarray) -> None:
    total = ends.weight.sum()
    bins = np.clip(np.digitize(predicted, BINS) - 1, 0, len(BINS) - 2)
    rows, error = [], 0.0
    for b in np.unique(bins):
        here = bins == b
        weight = ends.weight[here]
        expected, observed = (float(np.average(values[here], weights=weight)) for values in (predicted, ends.rare))
        error += abs(expected - observed) * weight.sum() / total
        label = f"{100 * BINS[b]:g} to {100 * BINS[b + 1]:g} %"
        rows.append((label, int(here.sum()), 100 * weight.sum() / total, 100 * expected, 100 * observed))
    section.tables.append(
        Table("Probability of an end", ("predicted", "frames", "share of play, %", "predicted, %", "observed, %"), rows)
    )
    expected, observed = (1000 * float(np.average(values, weights=ends.weight)) for values in (predicted, ends.rare))
    drawn = 1000 * float(np.average(np.where(predicted >= RAREST, predicted, 0), weights=ends.weight))
    label, reference = (
        "predicted ends in 1,000 frames",
        f"real play {observed:.2f}; {drawn:.2f} of the predicted ones likely enough to be drawn in play",
    )
    auc = auroc(predicted, ends.rare)
    section.figures.extend(
        [
            Figure("outcome.end_auroc", "AUROC of ends", auc, reference=f"{int(ends.rare.sum())} ends"),
            Figure("outcome.end_calibration", "calibration error of ends", error, "%"),
            Figure("outcome.ends", label, expected, "", _interval(1000 * predicted, ends), reference, len(ends.rare)),
        ]
    )
    predicted_share, observed_share = (np.array([row[i] for row in rows]) / 100 for i in (3, 4))
    lines = {
        "this world": (predicted_share, observed_share),
        "calibrated": (np.array([0.0, 1.0]), np.array([0.0, 1.0])),
    }
    section.curves.append(Curves("Ends", "predicted probability", "observed share", lines))


def _rewards(section: Section, rewarded: Sample, predicted: np.ndarray, usual: float) -> None:
    observed = rewarded.scenes.rewards[:, rewarded.scenes.context - 1]
    error = float(np.average(np.abs(predicted - observed), weights=rewarded.weight))
    expected, real = (float(np.average(values, weights=rewarded.weight)) for values in (predicted, observed))
    auc = auroc(np.abs(predicted - usual), rewarded.rare)
    what = f"{int(rewarded.rare.sum())} rewards other than {usual:g}"
    section.figures.extend(
        [
            Figure("outcome.reward_auroc", "AUROC of unusual rewards", auc, reference=what),
            Figure("outcome.reward_error", "mean error of the predicted reward", error),
            Figure("outcome.reward", "predicted reward per frame", expected, reference=f"real play {real:.3f}"),
        ]
    )


def _interval(values: np.ndarray, sample: Sample) -> statistics.Interval:
    """95% bootstrap interval of the mean over play; each kind of frame is a stratum."""
    sums = np.stack([values * sample.weight, sample.weight], axis=1)
    return statistics.bootstrap(sums, statistics.ratio, sample.rare.astype(int))
