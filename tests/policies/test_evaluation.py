"""Evaluation: every episode counts once, whichever row plays it; gaps and rank correlations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tiny_game import STEPS, generated_rows, real_rows

from worldsim_envs.sources import EnvSource
from worldsim_policies.base import PerRowPolicy, RandomPolicy
from worldsim_policies.evaluation import FIRST_SEED, Gap, Result, Scores, gaps, play_episodes, rank_correlations


def test_episodes_count_once_whichever_row_plays_them(generated):
    """Long ones too, and each has its own seed, so the number of rows doesn't matter."""
    found = []
    for rows in (1, 3):
        begun: list[int] = []

        class Noting(RandomPolicy):
            def begin(self, rows: np.ndarray, seeds: Any, begun: list[int] = begun) -> None:
                begun += list(seeds)
                super().begin(rows, seeds)

        ticks: list[int] = []
        found.append(play_episodes(generated_rows(rows, "Disabled", 3), Noting(3, rows), 7, 5, ticks.append))
        assert sum(ticks) == 7 and begun[:7] == list(range(FIRST_SEED + 5, FIRST_SEED + 12))
    np.testing.assert_array_equal(found[0].length, found[1].length)
    np.testing.assert_allclose(found[0].total, found[1].total, atol=2e-2)
    assert len(set(found[0].length)) > 1


def test_a_policy_that_reads_infos_plays_many_rows(game):
    """The info of a row says what pays, in new episodes too, and nothing pays in their first frame."""

    def make(rng: np.random.Generator):
        return lambda observation, info: max(int(info["bars"][1]), 0)

    for rows in (1, 3):
        scores = play_episodes(real_rows(rows, "Disabled"), PerRowPolicy(make, rows), 7, 0, lambda _: None)
        assert scores.length.tolist() == [STEPS] * 7 and scores.total.tolist() == [STEPS - 1] * 7


def test_gaps_and_rank_correlations_of_known_scores():
    generated, game = EnvSource("generated", "tiny", "digest"), EnvSource("game", "tiny")
    results = []
    for i, (imagined, real) in enumerate([(4.0, 2.0), (3.0, 1.0), (2.0, 1.5), (5.0, 4.9)]):
        for source, mean in ((generated, imagined), (game, real)):
            results.append(Result(f"p{i}", source, Scores(np.array([mean - 1, mean + 1]), np.array([3, 3]))))
    found = gaps(results)
    assert [(gap.policy, gap.env, gap.gap, gap.gap_of_real) for gap in found[:2]] == [
        ("p0", "generated", 2.0, 1.0),
        ("p1", "generated", 2.0, 2.0),
    ]
    assert rank_correlations(found) == {"generated": (pytest.approx(0.8), 4)}
    assert results[0].summary()["std"] == pytest.approx(2**0.5)


def test_what_can_not_be_measured_is_nan_or_left_out():
    assert np.isnan(Gap("p", "generated", 1.0, 0.0).gap_of_real)
    constant = [Gap(f"p{i}", "generated", 1.0, float(i)) for i in range(3)]
    assert np.isnan(rank_correlations(constant)["generated"][0])
    assert rank_correlations(constant[:2]) == {}
