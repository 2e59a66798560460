"""The baselines in every report, which generate no frame: the ceiling, the ceiling of the codec, two simple predictors.

    oracle     the true simulator
    codec      the true simulator's frames through the model's own encoder and decoder
    freeze     the last frame in which the targets were seen, copied
    velocity   what was seen in it, moved on at constant velocity

The model with its memory cut is asked in `ask.py`; chance comes with each scene.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from worldsim.evals.core import Codec
from worldsim.evals.permanence.detector import Detection, detect, expected_areas
from worldsim.evals.permanence.judge import Trial, judge, judge_seen
from worldsim.evals.permanence.scene import SCORED, Branch, Scene

LAG = 4  # frames over which a velocity is measured


def baselines(scene: Scene, codec: Codec | None, found: bool) -> list[Trial]:
    """The trials of every baseline in a scene, of "codec" where the model has one; `found` is its G0."""
    trials = []
    for branch in scene.branches:
        truth = np.stack([view.frame for view in branch.views])
        trials += judge("oracle", scene, branch, truth, found, hidden=True)
        if codec is not None:
            trials += judge("codec", scene, branch, codec(truth), found, hidden=True)
        frozen = [_last_seen(scene)] * SCORED
        trials += judge_seen("freeze", scene, branch, branch.scored, frozen)
        trials += judge_seen("velocity", scene, branch, branch.scored, _moved_on(scene, branch))
    return trials


def _last_seen(scene: Scene) -> list[Detection]:
    return detect(scene.context[-1], expected_areas(scene.last.things))


def _moved_on(scene: Scene, branch: Branch) -> list[list[Detection]]:
    """What is seen in the last context frame, where it would be in the scored frames."""
    earlier = {d.colour: d for d in detect(scene.context[-1 - LAG], expected_areas(scene.last.things))}
    elapsed = len(scene.hide) + branch.k + branch.gate + 1
    moved = []
    for frame in range(SCORED):
        steps = (elapsed + frame) / LAG
        seen = [(d, earlier.get(d.colour, d)) for d in _last_seen(scene)]
        moved.append(
            [dataclasses.replace(d, x=d.x + steps * (d.x - e.x), y=d.y + steps * (d.y - e.y)) for d, e in seen]
        )
    return moved
