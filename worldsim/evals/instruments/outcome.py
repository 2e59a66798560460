"""Outcomes: does a world know what pays, and when it is over? What it says of them, held against held-out play.

Knows no network. N frames, each generated from real ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from worldsim.evals.instruments.trust import auroc
from worldsim.evals.scenes import Footage, Scenes
from worldsim.evals.section import Curves, Figure, Section, Table
from worldsim.runtime.session import RAREST

OTHERS = 4  # frames before nothing unusual, for each before an event
BINS = np.array([0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0])  # of a probability; ends are rare


class Sample(NamedTuple):
    """Frames before a rare event, and others.

    Attributes:
        scenes: with one frame after the context.
        rare: bool `[N]`, whether the event came with that frame.
        weight: float64 `[N]`, how many frames of the recording each stands for.
    """

    scenes: Scenes
    rare: np.ndarray
    weight: np.ndarray


def sample(footage: Footage, rare: np.ndarray, context: int, count: int, seed: int) -> Sample | None:
    """Up to `count` frames before the event and `OTHERS` times as many before none, each frame as likely as any other
    of its kind; None if it never came, or always did.

    Args:
        rare: bool `[M]`, whether the event came with the action taken on each frame of the recording.
    """
    rng = np.random.default_rng(seed)
    frames = np.concatenate([np.arange(start + context - 1, end - 1) for start, end in footage.spans])
    lasts, weights = [], []
    for kind, most in ((frames[rare[frames]], count), (frames[~rare[frames]], OTHERS * count)):
        if not len(kind):
            return None
        lasts.append(rng.permutation(kind)[:most])
        weights.append(np.full(len(lasts[-1]), len(kind) / len(lasts[-1])))
    scenes = footage.scenes(np.concatenate(lasts) - context + 1, context, context + 1)
    return Sample(scenes, np.arange(len(scenes)) < len(lasts[0]), np.concatenate(weights))


def usual_reward(footage: Footage) -> float:
    """The reward that comes most often."""
    rewards, counts = np.unique(footage.rewards, return_counts=True)
    return float(rewards[counts.argmax()])


def outcome(
    ends: Sample | None, said_cont: np.ndarray, pays: Sample | None, said_reward: np.ndarray, usual: float
) -> Section:
    """Whether ends and rewards are foretold, and as often as they come.

    Args:
        ends: before ends and others. said_cont: float `[N]`, the probability that play goes on, as the world has it.
        pays: before unusual rewards and others. said_reward: float `[N]`, the reward that it expects.
        usual: the reward that comes most often.
    """
    section = Section(
        "outcome",
        "Does it know what pays, and when it is over?",
        "One frame from real ones: held-out frames before an end or an unusual reward, and others, each counted as "
        "often as its kind comes. AUROC: the chance that the event is expected more where it came than where it did "
        "not; 0.5 is a guess. Calibration error: how far the probability said is from the share that came, bin by "
        "bin (Naeini et al. 2015).",
    )
    if ends is None:
        section.notes.append("No held-out play ends by itself: ends were not judged.")
    else:
        _ends(section, ends, 1 - said_cont)
    if pays is None:
        section.notes.append("Every held-out frame pays the same: rewards were not judged.")
    else:
        _rewards(section, pays, said_reward, usual)
    return section


def _ends(section: Section, ends: Sample, said: np.ndarray) -> None:
    total = ends.weight.sum()
    bins = np.clip(np.digitize(said, BINS) - 1, 0, len(BINS) - 2)
    rows, error = [], 0.0
    for b in np.unique(bins):
        here = bins == b
        weight = ends.weight[here]
        expected, came = (float(np.average(values[here], weights=weight)) for values in (said, ends.rare))
        error += abs(expected - came) * weight.sum() / total
        label = f"{100 * BINS[b]:g} to {100 * BINS[b + 1]:g} %"
        rows.append((label, int(here.sum()), 100 * weight.sum() / total, 100 * expected, 100 * came))
    section.tables.append(
        Table("Probability of an end", ("said", "frames", "share of play, %", "said, %", "came, %"), rows)
    )
    expected, came = (1000 * float(np.average(values, weights=ends.weight)) for values in (said, ends.rare))
    drawn = 1000 * float(np.average(np.where(said >= RAREST, said, 0), weights=ends.weight))
    beside = f"real play {came:.2f}; {drawn:.2f} of it likely enough to be drawn in play"
    auc = auroc(said, ends.rare)
    section.figures.extend(
        [
            Figure("outcome.end_auroc", "AUROC of ends", auc, reference=f"{int(ends.rare.sum())} ends"),
            Figure("outcome.end_calibration", "calibration error of ends", error, "%"),
            Figure("outcome.ends", "ends expected in 1,000 frames", expected, "", _interval(1000 * said, ends), beside),
        ]
    )
    said_share, came_share = (np.array([row[i] for row in rows]) / 100 for i in (3, 4))
    lines = {"this world": (said_share, came_share), "calibrated": (np.array([0.0, 1.0]), np.array([0.0, 1.0]))}
    section.curves.append(Curves("Ends", "probability said", "share that came", lines))


def _rewards(section: Section, pays: Sample, said: np.ndarray, usual: float) -> None:
    came = pays.scenes.rewards[:, pays.scenes.context - 1]
    error = float(np.average(np.abs(said - came), weights=pays.weight))
    expected, real = (float(np.average(values, weights=pays.weight)) for values in (said, came))
    auc = auroc(np.abs(said - usual), pays.rare)
    what = f"{int(pays.rare.sum())} rewards other than {usual:g}"
    section.figures.extend(
        [
            Figure("outcome.reward_auroc", "AUROC of unusual rewards", auc, reference=what),
            Figure("outcome.reward_error", "mean error of the expected reward", error),
            Figure("outcome.reward", "reward expected in a frame", expected, reference=f"real play {real:.3f}"),
        ]
    )


def _interval(values: np.ndarray, drawn: Sample) -> tuple[float, float]:
    """Bootstrap interval of the mean over play, 95%: each kind is drawn again by itself."""
    rng, means = np.random.default_rng(0), np.zeros(1000)
    for kind in (drawn.rare, ~drawn.rare):
        own = values[kind]
        again = own[rng.integers(len(own), size=(len(means), len(own)))].mean(1)
        means += again * drawn.weight[kind].sum() / drawn.weight.sum()
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
