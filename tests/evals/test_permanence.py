"""The permanence suite on a tiny real world, and on simulators of it that remember wrongly in known ways."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections import Counter

import cv2
import hideaway
import numpy as np
import pytest

from worldsim.cli.permanence import staging
from worldsim.evals import statistics
from worldsim.evals.permanence import calibration
from worldsim.evals.permanence.adapter import AdapterSimulator, SurprisedAdapter
from worldsim.evals.permanence.ask import Answer, ask, frames_asked
from worldsim.evals.permanence.baselines import baselines
from worldsim.evals.permanence.detector import detect, silhouette
from worldsim.evals.permanence.gates import found_before
from worldsim.evals.permanence.judge import Trial
from worldsim.evals.permanence.matching import assign
from worldsim.evals.permanence.scene import CONTEXT, PALETTE, SHAPES, Scene, Thing
from worldsim.evals.permanence.suite import judge_scene
from worldsim.evals.permanence.summary import Trials, summarise
from worldsim.evals.permanence.tiers import SPLITS, TIERS, TRAIN_SEEDS, judged_seeds, seeds_digest, train_seed
from worldsim_envs.registry import WORLDS, make_real

POINTS = {"P1": (1, 8, 40), "P2": (17, 40), "P5": (0, 1), "P6": (4, 16), "P7": (4, 16)}
SEEDS = (0, 1)


@functools.cache
def staged(probe: str) -> tuple[Scene, ...]:
    return tuple(s for seed in SEEDS for s in hideaway.stage(probe, seed, POINTS[probe], hideaway.H, hideaway.W))


@functools.cache
def answered(probe: str, wrong: str = "") -> tuple[Answer, ...]:
    scenes = staged(probe)
    return tuple(ask(AdapterSimulator(hideaway.TrueModel(wrong), "test"), scenes))


@functools.cache
def judged(probe: str, wrong: str = "") -> tuple[Trial, ...]:
    scenes = staged(probe)
    pairs = zip(scenes, answered(probe, wrong), strict=True)
    return tuple(trial for scene, answer in pairs for trial in judge_scene(scene, scenes, answer, hideaway.codec))


STAGED = [name for name, entry in WORLDS.items() if entry.staging]


def labels(trials: tuple[Trial, ...], arm: str = "model", probe: str = "", **fields: object) -> Counter[str]:
    probe = probe or trials[0].probe
    of_arm = [trial for trial in trials if (trial.arm, trial.probe) == (arm, probe)]
    return Counter(t.label for t in of_arm if all(getattr(t, name) == value for name, value in fields.items()))


# the real worlds


@pytest.mark.parametrize(("world", "probe"), [(world, probe) for world in STAGED for probe in staging(world).PROBES])
def test_a_real_world_stages_what_can_be_judged(world: str, probe: str):
    """Its own frames are right and pass all gates; started where the scene says, it shows the scene again."""
    points = (0, 1) if probe == "P5" else (1, 9)
    scenes = staging(world).stage(probe, SPLITS["calibration"], points, 64, 64)
    made = [t for scene in scenes for t in baselines(scene, hideaway.codec, found_before(scene))]
    assert {t.label for t in made if t.arm in ("oracle", "codec")} == {"correct"}
    assert scenes[-1].twin == "absent" and scenes[-1].branches[0].point == points[0]
    scene, env = scenes[0], make_real(world)
    seen = [env.restore(scene.start)[0]]
    for action in (*scene.actions, *scene.hide, *scene.hold[: scene.branches[0].k], *scene.branches[0].actions):
        seen.append(env.step(np.int64(action))[0])
    np.testing.assert_array_equal(seen[:CONTEXT], scene.context)
    np.testing.assert_array_equal(seen[-1], scene.branches[0].views[-1].frame)


# the detector


@pytest.mark.parametrize("shape", range(len(SHAPES)))
@pytest.mark.parametrize("colour", range(len(PALETTE)))
def test_detector_names_colour_shape_and_place(colour: int, shape: int):
    mask = np.pad(silhouette(shape, 10), ((20, 18), (31, 31)))
    frame = (140 + (np.array(list(PALETTE.values())[colour]) - 140.0) * mask[..., None]).round().astype(np.uint8)
    (found,) = detect(frame, (mask.sum(), mask.sum()))
    rows, columns = np.nonzero(mask > 0)
    x, y = (np.average(v, weights=mask[rows, columns]) for v in (columns, rows))
    assert (found.colour, found.shape) == (colour, shape)
    assert math.hypot(found.x - x, found.y - y) < 0.35
    assert detect(frame, (4 * mask.sum(), 4 * mask.sum())) == [] == detect(frame, (mask.sum() / 4, mask.sum() / 4))


def test_reserved_hues_are_far_apart_and_from_blur_into_the_wall():
    lab = cv2.cvtColor(np.float32([list(PALETTE.values())]) / 255, cv2.COLOR_RGB2LAB)[0]
    apart = np.linalg.norm(lab[:, None] - lab, axis=-1)
    assert apart[~np.eye(len(lab), dtype=bool)].min() > 40


def test_assignment_puts_colour_before_place():
    def thing(colour: int, x: float) -> Thing:
        return Thing(colour, 0, x, 10.0, 4.0, 50.0, 1.0)

    frame = hideaway.draw(hideaway.Room((hideaway.Disc(1, 20.0, 12.0), hideaway.Disc(0, 50.0, 12.0))))
    seen = detect(frame, (50.0, 50.0))
    pairs, extras = assign([thing(0, 20.0), thing(1, 50.0)], seen)
    assert [pairs[i].colour for i in range(2)] == [0, 1] and extras == []
    pairs, extras = assign([thing(0, 20.0)], seen)
    assert pairs[0].colour == 0 and [d.colour for d in extras] == [1]


def test_calibration_tells_good_frames_from_bad():
    scenes = staged("P1")
    simulator = AdapterSimulator(hideaway.TrueModel(), "test")
    checks = calibration.validate(scenes, hideaway.codec, simulator)
    assert [check.frames for check in checks] == ["real", "codec", "one step"]
    assert calibration.is_valid(checks) and all(check.recall.value == 1 for check in checks)
    assert not calibration.is_valid(calibration.validate(scenes, lambda frames: frames // 2 + 64, None))

    def speckled(frames: np.ndarray) -> np.ndarray:
        frames = frames.copy()
        frames[::20, :7, 40:47] = PALETTE["green"]
        return frames

    (_, bad) = calibration.validate(scenes, speckled, None)
    assert bad.false.value > 0.01 and not bad.passed
    sweep = calibration.sweep(scenes, hideaway.codec)
    assert {row[0]: row[1:3] for row in sweep.rows}[30] == (1.0, 0.0)


# who remembers what


@pytest.mark.parametrize("probe", POINTS)
def test_the_true_world_is_right_and_passes_all_gates(probe: str):
    for arm in ("model", "oracle", "codec"):
        assert set(labels(judged(probe), arm)) == {"correct"}
    assert all(trial.right == 1 for trial in judged(probe) if trial.arm in ("model", "oracle", "codec", "control"))


FAILURES = [
    ("P1", "still", "not hidden"),
    ("P1", "sees through", "not hidden"),
    ("P1", "stuck", "not revealed"),
    ("P1", "redecorates", "background lost"),
    ("P1", "forgets", "vanished"),
    ("P1", "recolours", "recoloured"),
    ("P1", "duplicates", "duplicated"),
    ("P1", "misplaces", "misplaced"),
    ("P1", "swaps", "misplaced"),
    ("P2", "freezes", "frozen"),
    ("P5", "freezes", "frozen"),
    ("P6", "resets", "frozen"),
    ("P7", "forgets", "vanished"),
    ("P7", "duplicates", "duplicated"),
]


@pytest.mark.parametrize(("probe", "wrong", "label"), FAILURES)
def test_each_failure_is_caught_and_named(probe: str, wrong: str, label: str):
    found = labels(judged(probe, wrong), twin="a", target=0)
    assert label in found
    late = labels(judged(probe, wrong), twin="a", target=0, point=POINTS[probe][-1])
    assert late.most_common(1)[0][0] == label
    strict = [t.right * t.gates for t in judged(probe, wrong) if t.arm == "model" and t.twin == "a" and t.target == 0]
    assert np.mean(strict) < 1


def test_what_comes_from_nowhere_is_named_in_the_absent_twin_alone():
    found = judged("P1", "imagines")
    assert set(labels(found, twin="absent")) == {"appeared"} and set(labels(found, twin="a")) == {"correct"}


def test_it_forgets_when_it_forgets():
    found = judged("P1", "forgets")
    assert set(labels(found, twin="a", point=1)) == {"correct"} and set(labels(found, twin="a", point=40)) == {
        "vanished"
    }
    of_model = {
        cell.metric: cell.estimate for cell in cells("P1", "forgets") if cell.point is None and cell.arm == "model"
    }
    assert of_model["half_life"].value == 8
    lasting = {c.estimate.value for c in cells("P1") if (c.arm, c.probe, c.metric) == ("model", "P1", "half_life")}
    assert lasting == {max(c.point or 0 for c in cells("P1")) + 1}


def test_the_memory_cut_is_a_world_that_knows_nothing():
    found = judged("P1")
    assert {trial.point for trial in found if trial.arm == "cut"} == {40}
    assert set(labels(found, "cut", twin="a")) == {"vanished"} and set(
        labels(found, "cut", twin="absent", target=0)
    ) <= {"correct"}


def test_freezing_solves_what_is_still_and_not_what_moves():
    assert set(labels(judged("P1"), "freeze")) == {"correct"}
    assert "frozen" in labels(judged("P2"), "freeze", target=0) and "frozen" in labels(judged("P5"), "freeze", target=0)
    skill = {c.arm: c.estimate.value for c in cells("P2") if c.metric == "skill" and c.point is None}
    assert skill["model"] > 0.95 and abs(skill["freeze"]) < 0.05
    assert {t.label for t in judged("P2") if t.arm == "velocity" and t.point == 17 and t.target == 0} >= {"correct"}


def test_violated_expectations():
    assert set(labels(judged("P1"), probe="P9")) == {"correct"}
    assert labels(judged("P1", "forgets"), probe="P9", point=40)["misled"] > 0
    assert set(labels(judged("P1", "still"), probe="P9")) == {"not hidden"}
    fair = [t for t in judged("P1") if t.probe == "P9"]
    shown = Counter((t.twin, t.against) for t in fair)
    assert shown["a", "P1 colour"] == shown["colour", "P1 a"] > 0  # each clip once as possible, once as impossible


def test_a_loss_decides_where_there_is_one():
    scenes = staged("P1")[:4]

    class Surprised(hideaway.TrueModel):
        def surprise(self, state, actions, frames, seed):
            made = []
            for action in actions:
                state, frame = self.step(state, int(action))
                made.append(frame)
            return -float(np.abs(np.stack(made) - frames.astype(float)).mean())  # expects what is impossible

    answers = ask(SurprisedAdapter(Surprised(), "test"), scenes)
    assert set(answers[0].surprise) == {(p, twin) for p in POINTS["P1"] for twin in ("a", "colour", "place", "absent")}
    pairs = zip(scenes, answers, strict=True)
    found = tuple(t for scene, answer in pairs for t in judge_scene(scene, scenes, answer, None))
    assert set(labels(found, probe="P9")) == {"misled"}


def test_hidden_rollout_is_asked_once_and_reveals_branch_off_it():
    scenes, steps = staged("P1")[:1], []

    class Counted(hideaway.TrueModel):
        def step(self, state, action):
            steps.append(action)
            return super().step(state, action)

    (answer,) = ask(AdapterSimulator(Counted(), "test"), scenes)
    assert len(steps) == frames_asked(scenes[0])
    branch = scenes[0].branches[1]
    truth = np.stack([view.frame for view in branch.views])
    np.testing.assert_array_equal(answer.reveals[8], truth)
    np.testing.assert_array_equal(answer.hidden[0], scenes[0].first.frame)
    np.testing.assert_array_equal(answer.control[8], np.stack([v.frame for v in scenes[0].control.checks[8][1]]))


def test_a_target_that_was_never_seen_fails_the_first_gate():
    scene = staged("P1")[0]
    assert found_before(scene)
    context = scene.context.copy()
    context[:26] = hideaway.draw(hideaway.Room(()))
    assert not found_before(dataclasses.replace(scene, context=context))


# summing up


def cells(probe: str, wrong: str = ""):
    return summarise(Trials.of(judged(probe, wrong)))


def test_cells_are_conditional_on_gates_and_say_what_that_hides():
    known = {(c.arm, c.point, c.metric): c.estimate for c in cells("P1", "stuck") if c.probe == "P1"}
    assert ("model", None, "right") not in known and known["model", None, "right_strict"].value == 0
    assert known["model", None, "G2"].value == 0 and known["model", None, "G1"].value == 1
    known = {(c.arm, c.point, c.metric): c.estimate for c in cells("P1") if c.probe == "P1"}
    assert known["model", 8, "right"].value == 1 and known["model", 8, "right"].scenes == len(SEEDS)
    assert known["model", 8, "memory_loss"].value == 0 and known["model", None, "d_prime"].value > 2
    assert {c.estimate.value for c in cells("P1", "imagines") if (c.arm, c.probe) == ("model", "P8")} == {1.0}
    lost = {c.point: c.estimate.value for c in cells("P1", "forgets") if c.metric == "memory_loss"}
    assert lost[1] == 0 and lost[40] == 1


def test_counts_are_signed():
    of = {
        wrong: {(c.point, c.metric): c.estimate.value for c in cells("P7", wrong) if c.arm == "model"}
        for wrong in ("forgets", "duplicates")
    }
    assert of["forgets"][16, "count_error"] < 0 < of["duplicates"][16, "count_error"]


def test_bootstrap_draws_scenes_not_trials():
    rng = np.random.default_rng(0)
    scenes = np.repeat([f"P1/{i}" for i in range(20)], 50)
    values = np.repeat(rng.random(20) < 0.5, 50).astype(float)
    estimate = statistics.scene_mean(values, scenes)
    assert estimate.high - estimate.low > 0.3 and estimate.n == 1000 and estimate.scenes == 20
    single = statistics.scene_mean(values, np.arange(1000).astype(str))
    assert single.high - single.low < 0.1
    none = statistics.scene_mean(np.zeros(1000), scenes)
    assert none.value == none.low == 0 and 0.1 < none.high < 0.2  # Wilson's, of 20
    assert math.isnan(statistics.scene_mean(np.array([math.nan]), np.array(["P1/0"])).value)


def test_half_life_is_the_first_time_halfway_or_none():
    scenes, k = np.tile(np.arange(10).astype(str), 3), np.repeat([1, 8, 64], 10)
    right = np.concatenate([np.ones(10), np.ones(10), np.zeros(10)])
    assert statistics.half_life(right, scenes, k, 1.0, 0.2)[:3] == (64, 64, 64)
    assert statistics.half_life(np.ones(30), scenes, k, 1.0, 0.2).value == 65
    judged = k < 64  # what passed no gate at 64 says nothing of 64
    assert statistics.half_life(np.ones(20), scenes[judged], k[judged], 1.0, 0.2).value == 9
    half = np.where(k == 8, 0.6, right)
    assert statistics.half_life(half, scenes, k, 1.0, 0.2).value == 8


def test_seeds_are_frozen_and_splits_never_meet():
    smoke, full = (judged_seeds(TIERS[name], POINTS)["P1"] for name in ("smoke", "full"))
    assert smoke == [2_200_000_000, 2_200_000_001] and full[:2] == smoke
    assert all(TIERS["full"].seeds[p] >= TIERS["standard"].seeds[p] >= n for p, n in TIERS["smoke"].seeds.items())
    assert len(judged_seeds(TIERS["smoke"], ["P1"])["P1"]) == 3 * len(smoke)  # a world of one probe
    private, other = (judged_seeds(TIERS["full"], POINTS, secret) for secret in (b"a secret", b"another"))
    assert private["P1"][:2] == judged_seeds(TIERS["smoke"], POINTS, b"a secret")["P1"]
    drawn = [seed for split in (private, other) for seeds in split.values() for seed in seeds]
    assert len(set(drawn)) == len(drawn) and seeds_digest(private) != seeds_digest(other)
    ranges = sorted([*SPLITS.values(), min(drawn)])
    assert all(b - a >= 10**8 for a, b in itertools.pairwise(ranges)) and ranges[-1] == min(drawn) >= 2**40
    assert {train_seed(0), train_seed(TRAIN_SEEDS - 1), train_seed(TRAIN_SEEDS)} == {10**9, 2 * 10**9 - 1}


def test_twins_share_actions_and_all_but_the_first_target():
    for probe in POINTS:
        twins = staged(probe)[:4]
        for twin in twins[1:]:
            np.testing.assert_array_equal(twin.hold, twins[0].hold)
            assert twin.last.things[1:] == twins[0].last.things[1:] and twin.last.things[0] != twins[0].last.things[0]
        assert twins[0].context.shape == (CONTEXT, hideaway.H, hideaway.W, 3)
