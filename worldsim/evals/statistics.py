"""Estimates with 95% intervals: one bootstrap, one Wilson interval. Knows no instrument.

Whatever shares its random numbers (a scene with its twins, a run, an episode) is one resampling unit. So each statistic
is a function of sums over units, and the bootstrap resamples units within strata.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

DRAWS = 1000  # of a bootstrap
FEWEST_SCENES = 4  # with no more scenes than this a bootstrap has too few to draw from

Interval = tuple[float, float]


class Estimate(NamedTuple):
    """A number with its 95% interval, from `n` trials in `scenes` scenes; NaN where there were none."""

    value: float
    low: float
    high: float
    n: int
    scenes: int


NONE = Estimate(math.nan, math.nan, math.nan, 0, 0)


def wilson(successes: float, trials: int) -> Interval:
    """95% interval of a share (Wilson 1927)."""
    if trials == 0:
        return math.nan, math.nan
    z, p = 1.96, successes / trials
    centre = (p + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    return max(0.0, centre - half), min(1.0, centre + half)


def resample(units: int, strata: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
    """How often each of `units` is drawn in each bootstrap sample, `[DRAWS, units]`.

    Args:
        strata: `[units]`; units are drawn in place of others of their own stratum.
        seed: the same samples for the same seed, so that what shares units is paired.
    """
    strata = np.zeros(units, int) if strata is None else strata
    rng = np.random.default_rng(seed)
    counts = np.zeros((DRAWS, units))
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        counts[:, rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), DRAWS)
    return counts


def percentile_interval(values: np.ndarray) -> Interval:
    """The middle 95% of a statistic's bootstrap samples; NaN values don't count."""
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return math.nan, math.nan
    low, high = np.quantile(values, [0.025, 0.975], method="inverted_cdf")  # takes infinite values too
    return float(low), float(high)


def bootstrap(
    sums: np.ndarray, statistic: Callable[[np.ndarray], float], strata: np.ndarray | None = None, seed: int = 0
) -> Interval:
    """95% interval of a statistic, a function of sums over units.

    Args:
        sums: `[units, ...]`, of each unit.
        statistic: of their total `[...]`.
        strata, seed: see `resample`.
    """
    totals = np.tensordot(resample(len(sums), strata, seed), sums, axes=1)
    return percentile_interval(np.array([statistic(total) for total in totals]))


def ratio(total: np.ndarray) -> float:
    """Sum over count: the statistic of a mean, from `[2]`."""
    return float(total[0] / total[1]) if total[1] else math.nan


def mean_interval(values: np.ndarray) -> Interval:
    """95% bootstrap interval of the mean of one value a unit, `[units]`; values that are not finite don't count."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    return bootstrap(np.stack([values, np.ones(len(values))], axis=1), ratio)


def median_interval(values: np.ndarray) -> Interval:
    """95% bootstrap interval of the median of one value a unit, `[units]`."""
    counts = resample(len(values)).astype(int)
    return percentile_interval(np.array([np.median(np.repeat(values, drawn)) for drawn in counts]))


def scene_sums(values: np.ndarray, scenes: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Sum and count of the finite values `[trials]` of each of the scenes `names [S]`, `[S, 2]`."""
    rows = np.searchsorted(names, scenes)
    known = np.isfinite(values)
    total = np.bincount(rows[known], values[known], len(names))
    return np.stack([total, np.bincount(rows[known], minlength=len(names))], axis=1)


def scene_mean(values: np.ndarray, scenes: np.ndarray, strata: np.ndarray | None = None) -> Estimate:
    """Mean of the finite values `[trials]` of some scenes `[trials]`, each in a stratum `[trials]`.

    A share of all or none has no spread to resample, and `FEWEST_SCENES` scenes or fewer are too few to: the interval
    of such shares is Wilson's, with scenes for trials.
    """
    known = np.isfinite(values)
    values, scenes = values[known], scenes[known]
    if len(values) == 0:
        return NONE
    names, first = np.unique(scenes, return_index=True)
    value = float(values.mean())
    if np.isin(values, (0.0, 1.0)).all() and (value in (0.0, 1.0) or len(names) <= FEWEST_SCENES):
        low, high = wilson(value * len(names), len(names))
    else:
        groups = None if strata is None else strata[known][first]
        low, high = bootstrap(scene_sums(values, scenes, names), ratio, groups)
    return Estimate(value, low, high, len(values), len(names))


def d_prime(hits: np.ndarray, alarms: np.ndarray, scenes: tuple[np.ndarray, np.ndarray]) -> Estimate:
    """Sensitivity to presence, z(hits) - z(alarms), with half a trial added to each (Hautus 1995).

    Args:
        hits, alarms: 0 or 1 for each trial with, and each without, the object.
        scenes: of each of both.
    """
    names = np.unique(np.concatenate(scenes))
    if not (len(hits) and len(alarms)):
        return NONE
    sums = np.stack([scene_sums(v, s, names) for v, s in zip((hits, alarms), scenes, strict=True)], axis=1)

    def statistic(total: np.ndarray) -> float:
        hit, alarm = (NormalDist().inv_cdf((got + 0.5) / (count + 1)) for got, count in total)
        return hit - alarm

    return Estimate(statistic(sums.sum(0)), *bootstrap(sums, statistic), len(hits) + len(alarms), len(names))


def half_life(right: np.ndarray, scenes: np.ndarray, k: np.ndarray, control: float, chance: float) -> Estimate:
    """The first hidden time at which survival is halfway between its visible control and chance; where it never is, one
    more than the longest that could be judged.

    Args:
        right: 0 or 1 for each trial. scenes, k: of each.
        control, chance: shares right.
    """
    times, names = np.unique(k), np.unique(scenes)
    if not len(times):
        return NONE
    sums = np.stack([scene_sums(right[k == t], scenes[k == t], names) for t in times], axis=1)
    halfway = (control + chance) / 2

    def statistic(total: np.ndarray) -> float:
        known = [(t, got / count) for t, (got, count) in zip(times, total, strict=True) if count]
        below = [t for t, share in known if share <= halfway]
        return float(below[0] if below else known[-1][0] + 1) if known else math.nan

    return Estimate(statistic(sums.sum(0)), *bootstrap(sums, statistic), len(right), len(names))
