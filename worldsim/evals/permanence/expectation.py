"""P9, violation of expectation: of two true reveals, one possible and one not, which does a simulator expect?

The impossible one is the reveal of the scene's twin: it is possible there, so every clip is shown once as each, and no
cue in the clips themselves distinguishes them. A simulator that offers its denoising loss is right where the impossible
clip has the larger one, under the same noise; another where its own continuation is nearer to the possible clip.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from worldsim.evals.permanence.ask import Answer
from worldsim.evals.permanence.judge import Outcome, Trial
from worldsim.evals.permanence.scene import Branch, Scene

ASKED = ("P1", "P2", "P3")  # the probes whose reveals are compared


def expectation(scene: Scene, twins: Sequence[Scene], answer: Answer, hidden: Mapping[int, bool]) -> list[Trial]:
    """A trial for each point and each twin whose reveal would be impossible here."""
    trials = []
    for i, branch in enumerate(scene.branches if scene.probe in ASKED else ()):
        for twin in twins:
            if twin is scene or "a" not in (scene.twin, twin.twin):
                continue  # pairs of "a" and another, both ways round
            margin = _margin(branch, twin.branches[i], twin.twin, scene.twin, answer)
            right = float(margin > 0) if margin != 0 else 0.5
            passed = (True, hidden[branch.point], True, True)
            conditions = {**scene.conditions, **branch.conditions, "probe": scene.probe}
            outcome = Outcome("correct" if right == 1 else "misled")
            which = (scene.seed, scene.twin, scene.targets[0], branch.point, branch.k)
            trials.append(
                Trial("model", "P9", *which, conditions, 0.5, passed, outcome, right, f"{scene.probe} {twin.twin}")
            )
    return trials


def _margin(branch: Branch, impossible: Branch, twin: str, own: str, answer: Answer) -> float:
    """How much less expected the impossible clip is; above 0 is right."""
    loss = answer.surprise.get((branch.point, own), math.nan)
    if not math.isnan(loss):
        return answer.surprise[branch.point, twin] - loss
    generated = answer.reveals[branch.point][branch.gate :].astype(np.float64)
    off = [
        ((generated - np.stack([view.frame for view in clip.views[clip.gate :]])) ** 2).mean()
        for clip in (branch, impossible)
    ]
    return float(off[1] - off[0])
