"""Calibration of the detector: its recall and false positives on frames whose objects are known, and its threshold.

The threshold was set by `sweep` on the calibration seeds, and is frozen; every run validates it on other seeds: on real
frames, on frames through the model's encoder and decoder, and on the model's first generated frame.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np

from worldsim.evals import statistics
from worldsim.evals.core import Codec, Simulator
from worldsim.evals.permanence.ask import first_steps
from worldsim.evals.permanence.detector import REACH, detect, expected_areas
from worldsim.evals.permanence.matching import assign
from worldsim.evals.permanence.scene import Scene, Stage, Thing
from worldsim.evals.permanence.tiers import SPLITS
from worldsim.evals.section import Table
from worldsim.evals.statistics import Estimate

LEAST_RECALL, MOST_FALSE = 0.98, 0.01
WHOLE = 0.9  # share of a thing that is visible, for it to count as missed if it is not found
GLIMPSE = 0.05  # and for it to be no false positive if it is


@dataclasses.dataclass(frozen=True)
class Check:
    """The detector on one kind of frames: "real", "codec" or "one step".

    Attributes:
        recall: share of whole objects found in the right colour within a radius. false: wrong detections a frame.
    """

    frames: str
    recall: Estimate
    false: Estimate

    @property
    def passed(self) -> bool:
        """Whether the detector is reliable on such frames."""
        return self.recall.value >= LEAST_RECALL and self.false.value <= MOST_FALSE


def is_valid(checks: Sequence[Check]) -> bool:
    """Whether the suite is valid: by the codec's frames, or the real ones where there is no codec."""
    by_kind = {check.frames: check for check in checks}
    return by_kind["real"].passed and by_kind.get("codec", by_kind["real"]).passed


def validate(scenes: Sequence[Scene], codec: Codec | None, simulator: Simulator | None) -> list[Check]:
    """Validate the detector on scenes of the validation split."""
    frames, things, names = _known(scenes)
    checks = [_check("real", frames, things, names)]
    if codec is not None:
        checks.append(_check("codec", codec(frames), things, names))
    if simulator is not None:
        first = [scene.first.things for scene in scenes]
        checks.append(_check("one step", first_steps(simulator, scenes), first, _names(scenes)))
    return checks


def staged(stage: Stage, probes: Sequence[str], split: str, seeds: int, size: tuple[int, int]) -> list[Scene]:
    """Short scenes of every probe to look at, from a split's seeds; `size` is (height, width)."""
    first = SPLITS[split]
    return [scene for probe in probes for i in range(seeds) for scene in stage(probe, first + i, (1,), *size)]


def scenes_digest(scenes: Sequence[Scene]) -> str:
    """A name for what a world stages: sha256 over the frames and actions of some scenes."""
    digest = hashlib.sha256()
    for scene in scenes:
        for array in (scene.context, scene.actions, scene.hide, scene.hold, scene.branches[0].views[-1].frame):
            digest.update(array.tobytes())
    return digest.hexdigest()


def sweep(scenes: Sequence[Scene], codec: Codec | None) -> Table:
    """Recall and false positives over the detector's threshold, on calibration seeds."""
    frames, things, names = _known(scenes)
    kinds = {"real": frames} if codec is None else {"real": frames, "codec": codec(frames)}
    rows = []
    for reach in range(15, 55, 5):
        checks = [_check(kind, seen, things, names, float(reach)) for kind, seen in kinds.items()]
        rows.append((reach, *(v for check in checks for v in (check.recall.value, check.false.value))))
    columns = [f"{figure}, {kind}" for kind in kinds for figure in ("recall", "false a frame")]
    return Table(f"Threshold (CIE76; frozen at {REACH:g})", ("threshold", *columns), rows)


def _known(scenes: Sequence[Scene]) -> tuple[np.ndarray, list[tuple[Thing, ...]], np.ndarray]:
    """Frames uint8 `[n, H, W, 3]` of scenes, the things in each, and the scene of each."""
    views, names = [], []
    for scene, name in zip(scenes, _names(scenes), strict=True):
        revealed = [view for branch in scene.branches for view in (branch.views[branch.gate], branch.views[-1])]
        shown = [scene.last, *revealed]
        views += shown
        names += [name] * len(shown)
    return np.stack([view.frame for view in views]), [view.things for view in views], np.array(names)


def _names(scenes: Sequence[Scene]) -> np.ndarray:
    return np.array([f"{scene.probe}/{scene.seed}" for scene in scenes])


def _check(
    kind: str, frames: np.ndarray, things: Sequence[tuple[Thing, ...]], names: np.ndarray, reach: float = REACH
) -> Check:
    found: list[float] = []
    owners, false = [], []
    for frame, there, name in zip(frames, things, names, strict=True):
        seen = detect(frame, expected_areas(there), reach)
        glimpsed = [thing for thing in there if thing.visible >= GLIMPSE]
        pairs, extras = assign(glimpsed, seen)
        right = {i for i, d in pairs.items() if d.colour == glimpsed[i].colour}
        false.append(float(len(extras) + len(pairs) - len(right)))
        for i, thing in enumerate(glimpsed):
            if thing.visible >= WHOLE:
                near = i in right and np.hypot(pairs[i].x - thing.x, pairs[i].y - thing.y) <= thing.radius
                found.append(float(near))
                owners.append(name)
    return Check(
        kind, statistics.scene_mean(np.array(found), np.array(owners)), statistics.scene_mean(np.array(false), names)
    )
