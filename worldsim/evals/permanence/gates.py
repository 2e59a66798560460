"""Gates: whether the frames of a trial may be judged at all. They come first, and are never dropped silently.

G0 the targets were found in the real context; G1 they were out of sight the whole time; G2 the screen, lid or camera
did come back; G3 the landmarks of the background are as they were.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from worldsim.evals.permanence.detector import detect, difference, expected_areas, shown
from worldsim.evals.permanence.matching import SEEN, assign
from worldsim.evals.permanence.scene import LEAST_SEEN, SCORED, Branch, Scene, Thing

MOST_SHOWN = 0.02  # of the hidden frames may show a target
CHANGED = 15.0  # a pixel shows that the screen came back if it changed by this much (CIE76)
LEAST_BACK = 0.8  # of those pixels must be nearer to the revealed than to the hidden frame
MOST_OFF = 20.0  # mean difference of a landmark (CIE76)


def found_before(scene: Scene) -> bool:
    """G0: every target is found in the last context frame, and in enough of the others."""
    there = [scene.last.things[i] for i in scene.targets if scene.last.things[i].visible >= SEEN]
    removed = [scene.before[i] for i in scene.targets if scene.before[i].visible >= SEEN > scene.last.things[i].visible]
    seen = detect(scene.context[-1], expected_areas(scene.last.things))
    pairs, _ = assign(there, seen)
    now = all(i in pairs and pairs[i].colour == thing.colour for i, thing in enumerate(there))
    return now and all(shown(scene.context, [thing]).sum() >= LEAST_SEEN for thing in (*there, *removed))


def stayed_hidden(scene: Scene, hidden: np.ndarray) -> dict[int, bool]:
    """G1 by point: hardly a hidden frame shows a target, and the last one is not the view that will be revealed.

    Args:
        hidden: uint8 `[h + k_max, H, W, 3]`, see `Answer`.
    """
    out_of_sight = hidden[len(scene.hide) - 1 :]
    seen = shown(out_of_sight, [scene.last.things[i] for i in scene.targets])
    passed = {}
    for branch in scene.branches:
        same = difference(out_of_sight[branch.k], branch.scored[0].frame) < CHANGED
        still_there = same[_changed(scene, branch)[0]]
        away = not len(still_there) or still_there.mean() < LEAST_BACK
        passed[branch.point] = bool(away and seen[: branch.k + 1].mean() <= MOST_SHOWN)
    return passed


def came_back(scene: Scene, branch: Branch, frames: np.ndarray) -> bool:
    """G2: where the true picture changed by the reveal, objects left out, the generated one did too."""
    truth = np.stack([view.frame for view in branch.scored])
    scored = frames[branch.gate : branch.gate + SCORED]
    back = difference(scored, truth) < difference(scored, branch.covered[None])
    shares = [b[c].mean() if c.any() else 1.0 for b, c in zip(back, _changed(scene, branch), strict=True)]
    return bool(np.median(shares) >= LEAST_BACK)


def background_kept(branch: Branch, frames: np.ndarray) -> bool:
    """G3: every landmark looks as it should."""
    truth = np.stack([view.frame for view in branch.scored])
    off = np.median(difference(frames[branch.gate : branch.gate + SCORED], truth), axis=0)
    return all(off[y0:y1, x0:x1].mean() <= MOST_OFF for x0, y0, x1, y1 in branch.landmarks)


def _changed(scene: Scene, branch: Branch) -> np.ndarray:
    """Pixels that the reveal changes for real, objects left out, bool `[SCORED, H, W]`."""
    truth = np.stack([view.frame for view in branch.scored])
    things = {thing for view in branch.scored for thing in view.things}.union(scene.before)
    return (difference(truth, branch.covered[None]) > CHANGED) & ~_around(things, branch.covered)


def _around(things: Iterable[Thing], frame: np.ndarray) -> np.ndarray:
    """Pixels in or near a thing, bool `[H, W]`."""
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]]
    covered = np.zeros(frame.shape[:2], bool)
    for thing in things:
        covered |= np.hypot(x - thing.x, y - thing.y) <= 1.5 * thing.radius + 1
    return covered
