"""Codes against true actions: figures that are known by arithmetic, and what can't be judged is refused."""

import numpy as np
import pytest
import steered

from worldsim.cli.latent_actions import JUDGED, LatentActionsConfig, judge_codes, latent_actions
from worldsim.data.codes import world_of_codes
from worldsim.data.recording import Recording, relabel
from worldsim.errors import WorldsimError
from worldsim.evals.instruments import latent_actions as judge

RNG = np.random.default_rng(0)


def test_purity_and_information_of_known_tables():
    perfect = np.diag([4, 4, 4, 4])
    assert judge.purity(perfect) == 1 and judge.mutual_information(perfect) == (2.0, 2.0)
    useless = np.full((8, 4), 3)
    assert judge.purity(useless) == 0.25 and judge.mutual_information(useless) == pytest.approx((0.0, 2.0))
    halves = np.array([[4, 4, 0, 0], [0, 0, 4, 4]])
    assert judge.purity(halves) == 0.5 and judge.mutual_information(halves) == pytest.approx((1.0, 2.0))


def test_more_labels_map_more_codes():
    actions = RNG.integers(0, 5, 4000)
    codes = (actions + 5 * RNG.integers(0, 2, 4000)) % 16  # two codes for an action
    few, many = (judge.mapped_agreement((codes, actions), (codes, actions), 16, 5, n).mean() for n in (4, 200))
    assert few < 0.8 and many == 1
    noise = RNG.integers(0, 16, 4000)
    assert judge.mapped_agreement((noise, actions), (noise, actions), 16, 5, 1000).mean() < 0.3


def test_codes_that_mean_something_else_elsewhere_are_not_consistent():
    actions, places = RNG.integers(0, 4, 4000), RNG.integers(0, 2, 4000)
    assert judge.consistency(actions, actions, places, 4, 4) == 1
    swapped = np.where(places == 1, 3 - actions, actions)
    assert judge.consistency(swapped, actions, places, 4, 4) == pytest.approx(0.5, abs=0.05)


def test_places_are_told_apart_by_what_they_look_like():
    frames = np.zeros((40, 24, 40, 3), np.uint8)
    frames[20:] = 200
    places = judge.find_places(frames + RNG.integers(0, 3, frames.shape, dtype=np.uint8))
    assert not set(places[:20]) & set(places[20:])


def test_a_recording_of_codes_is_judged_by_the_true_one(tmp_path):
    true = Recording(steered.record(tmp_path / "true", episodes=10, length=80))
    codes = np.where(true.actions >= 0, 7 - true.actions, -1).astype(np.int16)
    codes[true.actions == 2] = 4  # what "up" has
    spec = world_of_codes(true.spec, 8, {"none": 7})
    made = relabel(true, tmp_path / "codes", spec, codes, {})
    figures = {figure.key: figure.value for figure in judge_codes(made, true).figures}
    held_out = true.actions[slice(*true.episodes("held-out")[0])]
    held_out = held_out[held_out >= 0][:JUDGED]
    wrong = min((held_out == 2).sum(), (held_out == 3).sum()) / len(held_out)
    assert figures["codes.purity"] == pytest.approx(1 - wrong)
    assert 0.5 < figures["codes.information"] < 1
    assert 0.5 < figures["codes.agreement_1000"] <= figures["codes.purity"] and figures["codes.consistency"] > 0.7
    with pytest.raises(WorldsimError, match="no actions to judge by"):
        bare = world_of_codes(true.spec, 1, {"none": 0})
        judge_codes(made, relabel(true, tmp_path / "bare", bare, np.minimum(codes, 0), {}))
    with pytest.raises(WorldsimError, match="not of the same frames"):
        judge_codes(made, Recording(steered.record(tmp_path / "other", episodes=10, length=70)))
    with pytest.raises(WorldsimError, match="or both"):
        latent_actions(LatentActionsConfig(made.path))
