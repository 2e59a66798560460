"""The permanence suite's probes as they are staged in the toy box: the true world passes its own gates."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.errors import WorldsimError
from worldsim.evals.permanence.gates import background_kept, came_back, found_before, stayed_hidden
from worldsim.evals.permanence.scene import REVEALED
from worldsim_envs.toybox.env import ToyboxEnv
from worldsim_envs.toybox.staging import PROBES, stage

POINTS = {"P5": (0, 2), "P4b": (32, 40)}


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_true_world_passes_the_gates_of_every_probe(probe, seed):
    scenes = stage(probe, 2_000_000_000 + seed, POINTS.get(probe, (1, 40)), 64, 64)
    first = scenes[0]
    assert {"a", "absent"} <= {scene.twin for scene in scenes}
    env = ToyboxEnv()
    for scene in scenes:
        assert (scene.hide == first.hide).all() and (scene.actions == first.actions).all()
        frame, _ = env.restore(scene.start)
        for action, expected in zip(scene.actions, scene.context, strict=False):
            np.testing.assert_array_equal(frame, expected)
            frame = env.step(action)[0]
        np.testing.assert_array_equal(frame, scene.last.frame)
        hidden = np.stack([env.step(action)[0] for action in (*scene.hide, *scene.hold)])
        assert found_before(scene) and all(stayed_hidden(scene, hidden).values())
        for branch, twin in zip(scene.branches, first.branches, strict=True):
            frames = np.stack([view.frame for view in branch.views])
            assert (branch.actions == twin.actions).all() and branch.k == twin.k
            assert came_back(scene, branch, frames) and background_kept(branch, frames) and len(branch.landmarks)
            removed = scene.conditions.get("interaction") == "remove"
            for target in scene.targets[not scene.present :]:
                assert min(view.things[target].visible for view in branch.scored) > 0.9 or removed
            colours = [t.colour for i, t in enumerate(branch.scored[0].things) if scene.present or i]
            assert len(set(colours)) == len(colours)
    assert first.control is None or all(
        min(view.things[i].visible for i in first.targets) > 0.9
        for _, views in first.control.checks.values()
        for view in views
        if first.conditions.get("interaction") != "remove"
    )


@pytest.mark.parametrize("probe", PROBES)
def test_twins_differ_in_the_target_alone_and_seeds_keep_step(probe):
    points = POINTS.get(probe, (1, 20))[:1]
    one, again, other = (stage(probe, seed, points, 64, 64) for seed in (8, 8, 9))
    for a, b in zip(one, again, strict=True):
        assert a.start == b.start and (a.branches[0].views[-1].frame == b.branches[0].views[-1].frame).all()
    assert (one[0].context != other[0].context).any()
    branches = one[0].branches[0], other[0].branches[0]
    assert len(one[0].hide) == len(other[0].hide) and branches[0].gate == branches[1].gate
    assert branches[0].k == branches[1].k and len(branches[0].views) == branches[0].gate + REVEALED
    for scene in one[1:]:
        changed = (scene.last.frame != one[0].last.frame).any(-1)
        things = [*scene.last.things, *one[0].last.things]
        x = np.nonzero(changed)[1]
        near = [np.abs(x - t.x).astype(int) <= t.radius + 2 for t in things]
        assert np.logical_or.reduce(near).all() if len(x) else scene.conditions["interaction"] == "remove"
        assert [t.colour for t in scene.last.things[1:]] == [t.colour for t in one[0].last.things[1:]]
        assert {"colour": scene.last.things[0].colour != one[0].last.things[0].colour,
                "place": abs(scene.last.things[0].x - one[0].last.things[0].x) > scene.last.things[0].radius,
                "absent": scene.last.things[0].visible == 0}[scene.twin]  # fmt: skip


def test_probes_in_another_size_and_their_errors():
    scene = stage("P3", 5, (4,), 36, 64)[0]
    assert scene.context.shape[1:] == (36, 64, 3) and found_before(scene)
    with pytest.raises(WorldsimError, match=r"no probe 'P9'"):
        stage("P9", 0, (1,), 64, 64)
    with pytest.raises(WorldsimError, match=r"as wide as high"):
        stage("P1", 0, (1,), 64, 48)
