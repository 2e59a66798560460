"""The judge: what became of the targets in generated frames.

Each of the three scored frames is judged by itself, and a trial is their median; whether it counts is up to its gates
(`gates.py`). Knows no simulator; aggregation is in `summary.py`.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from worldsim.evals.permanence.detector import Detection, detect, expected_areas
from worldsim.evals.permanence.gates import background_kept, came_back
from worldsim.evals.permanence.matching import SEEN, assign, distance
from worldsim.evals.permanence.scene import SCORED, Branch, Scene, Thing, View

WITHIN = 1.5  # radii: farther from where it should be, a target is misplaced
LAGGING = 0.45  # of the way from where it was: what got no farther is frozen

GATES = ("G0", "G1", "G2", "G3")
FAILED = {"G0": "not seen", "G1": "not hidden", "G2": "not revealed", "G3": "background lost"}
OUTCOMES = ("correct", "frozen", "vanished", "duplicated", "recoloured", "misplaced", "appeared", "misled")
LABELS = (*OUTCOMES, *FAILED.values())
# What counts as right: there, of the right colour, and once; or that in the right place (P7: as many as there were).
RIGHT = {"P1": "kept", "P3": "kept", "P4": "kept"}  # "correct" for all others


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one target in one frame, or by the median of several. What doesn't apply is NaN.

    Attributes:
        label: one of `OUTCOMES`.
        exists: something was there for it. identity, shape: of the right colour and shape, NaN if nothing was.
        error: from where it should be, in radii. frozen_error: the same if nothing had changed since it was last seen.
        count_error: objects seen minus objects there. alarm: something was seen that should not be there.
    """

    label: str
    exists: float = math.nan
    identity: float = math.nan
    shape: float = math.nan
    error: float = math.nan
    frozen_error: float = math.nan
    count_error: float = math.nan
    alarm: float = math.nan


@dataclasses.dataclass(frozen=True)
class Trial:
    """One target, revealed once.

    Attributes:
        arm: who answered: "model", "cut", "control", "oracle", "codec", "freeze" or "velocity".
        target: which one of the scene's. point, k: see `Branch`. chance: see `Scene`.
        passed: each of `GATES`.
        outcome: what became of it. right: success by the measure of its probe (see `RIGHT`), gates left aside.
        against: for P9 the probe and the twin whose reveal was the impossible one, as in "P1 colour".
    """

    arm: str
    probe: str
    seed: int
    twin: str
    target: int
    point: int
    k: int
    conditions: Mapping[str, object]
    chance: float
    passed: tuple[bool, ...]
    outcome: Outcome
    right: float
    against: str = ""

    @property
    def gates(self) -> bool:
        """Whether all were passed."""
        return all(self.passed)

    @property
    def label(self) -> str:
        """What became of the target; or the first gate that failed."""
        failed = (FAILED[gate] for gate, ok in zip(GATES, self.passed, strict=True) if not ok)
        return next(failed, self.outcome.label)


def judge(arm: str, scene: Scene, branch: Branch, frames: np.ndarray, found: bool, hidden: bool) -> list[Trial]:
    """The trials of one reveal.

    Args:
        frames: uint8 `[n, H, W, 3]`, generated under the branch's actions.
        found, hidden: whether G0 and G1 were passed (see `gates.py`).
    """
    passed = (found, hidden, came_back(scene, branch, frames), background_kept(branch, frames))
    scored = frames[branch.gate : branch.gate + SCORED]
    seen = [detect(frame, expected_areas(branch.scored[0].things)) for frame in scored]
    return judge_seen(arm, scene, branch, branch.scored, seen, passed)


def judge_cut(scene: Scene, branch: Branch, frames: np.ndarray, found: bool, hidden: bool) -> list[Trial]:
    """The same with the memory cut: it can't know what the background was, so G2 and G3 are not asked of it."""
    seen = [detect(f, expected_areas(branch.scored[0].things)) for f in frames[branch.gate : branch.gate + SCORED]]
    return judge_seen("cut", scene, branch, branch.scored, seen, (found, hidden, True, True))


def judge_control(scene: Scene, branch: Branch, frames: np.ndarray) -> list[Trial]:
    """The trials of the visible control beside a reveal: frames uint8 `[SCORED, H, W, 3]`. It has no gates to pass."""
    assert scene.control is not None
    _, views = scene.control.checks[branch.point]
    seen = [detect(frame, expected_areas(views[0].things)) for frame in frames]
    return judge_seen("control", scene, branch, views, seen)


def judge_seen(
    arm: str,
    scene: Scene,
    branch: Branch,
    views: Sequence[View],
    seen: Sequence[Sequence[Detection]],
    passed: Sequence[bool] = (True,) * len(GATES),
) -> list[Trial]:
    """The trials of what was detected in the scored frames, one list a frame, against what is true of them."""
    targets = scene.targets[:1] if scene.probe == "P7" or not scene.present else scene.targets
    trials = []
    for target in targets:
        made = _middle([outcome(scene, target, view, found) for view, found in zip(views, seen, strict=True)])
        trials.append(
            Trial(
                arm,
                scene.probe,
                scene.seed,
                scene.twin,
                target,
                branch.point,
                branch.k,
                {**scene.conditions, **branch.conditions},
                scene.chance,
                tuple(passed),
                made,
                _right(scene.probe, made),
            )
        )
    return trials


def outcome(scene: Scene, target: int, view: View, seen: Sequence[Detection]) -> Outcome:
    """What became of a target in one frame."""
    there = [i for i, thing in enumerate(view.things) if thing.visible >= SEEN]
    pairs, extras = assign([view.things[i] for i in there], seen)
    count_error, alarm = float(len(seen) - len(there)), float(bool(extras))
    thing, before = view.things[target], scene.before[target]
    stale = before if before.visible >= SEEN else None
    if thing.visible < SEEN:  # nothing should be there
        came_back = stale is not None and any(d.colour == stale.colour and _near(d, stale) for d in extras)
        label = "frozen" if came_back else "appeared" if extras else "correct"
        return Outcome(label, count_error=count_error, alarm=alarm)
    frozen_error = distance(stale, thing) / thing.radius if stale else math.nan
    found = pairs.get(there.index(target))
    if scene.probe == "P7":
        label = "correct" if count_error == 0 else "vanished" if count_error < 0 else "duplicated"
    elif found is None:
        label = "vanished"
    elif found.colour != thing.colour:
        kept_old = stale is not None and found.colour == stale.colour and _near(found, stale)
        label = "frozen" if kept_old else "recoloured"
    elif any(d.colour == thing.colour for d in extras):
        label = "duplicated"
    elif _near(found, thing):
        label = "correct"
    else:
        label = "frozen" if stale is not None and _lags(found, thing, stale) else "misplaced"
    if found is None:
        return Outcome(label, 0.0, frozen_error=frozen_error, count_error=count_error, alarm=alarm)
    return Outcome(
        label,
        1.0,
        float(found.colour == thing.colour),
        float(found.shape == thing.shape),
        distance(found, thing) / thing.radius,
        frozen_error,
        count_error,
        alarm,
    )


def _right(probe: str, made: Outcome) -> float:
    measure = RIGHT.get(probe, "correct")
    if measure == "kept" and not math.isnan(made.exists):
        return float(made.exists == 1 and made.identity == 1 and made.label != "duplicated")
    return float(made.label == "correct")


def _middle(each: Sequence[Outcome]) -> Outcome:
    """The median of the frames; of labels the commonest, where all differ that of the middle frame."""
    numbers = np.array([dataclasses.astuple(one)[1:] for one in each], float)  # [frames, fields]
    enough = 2 * np.isfinite(numbers).sum(0) >= len(each)
    middle = [float(np.nanmedian(column)) if ok else math.nan for column, ok in zip(numbers.T, enough, strict=True)]
    label = Counter(one.label for one in (each[len(each) // 2], *each)).most_common(1)[0][0]
    return Outcome(label, *middle)


def _lags(found: Detection, thing: Thing, stale: Thing) -> bool:
    """Whether a misplaced thing is where it was, or hardly under way."""
    return _near(found, stale) or distance(found, stale) < LAGGING * distance(thing, stale)


def _near(a: Detection | Thing, b: Thing) -> bool:
    return distance(a, b) <= WITHIN * b.radius
