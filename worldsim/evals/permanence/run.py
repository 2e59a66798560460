"""One run of the suite: calibrate the detector, stage, ask, judge, aggregate. The staging comes as an argument."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from worldsim.evals.core import Codec, ProgressCallback, Simulator
from worldsim.evals.permanence import calibration, suite
from worldsim.evals.permanence.calibration import Check
from worldsim.evals.permanence.results import Judged
from worldsim.evals.permanence.scene import Stage
from worldsim.evals.permanence.summary import Cell, Trials, summarise
from worldsim.evals.permanence.tiers import TIERS, Tier, judged_seeds
from worldsim.evals.section import Strip


class Staging(Protocol):
    """A module that stages a real world's probes."""

    PROBES: tuple[str, ...]
    stage: Stage


@dataclasses.dataclass(frozen=True)
class Subject:
    """The model that is evaluated.

    Attributes:
        simulator: None for a model whose frames are brought from elsewhere.
        codec: its encoder and decoder, where it offers them.
        name, digest, context: see `Judged`.
    """

    simulator: Simulator | None
    codec: Codec | None
    name: str
    digest: str
    context: int | None


@dataclasses.dataclass(frozen=True)
class Setting:
    """What it is asked: a real world's staging, at a size (height, width), in a tier, on public or private seeds."""

    world: str
    staging: Staging
    size: tuple[int, int]
    tier_name: str
    secret: bytes | None

    @property
    def tier(self) -> Tier:
        """The tier itself."""
        return TIERS[self.tier_name]

    @property
    def split(self) -> str:
        """Of the seeds."""
        return "test" if self.secret is None else "private"

    @functools.cached_property
    def seeds(self) -> Mapping[str, list[int]]:
        """By probe, of those that the world can stage."""
        return judged_seeds(self.tier, self.staging.PROBES, self.secret)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run found; see `results.py` for the parts."""

    judged: Judged
    checks: Sequence[Check]
    cells: Sequence[Cell]
    trials: Trials
    strips: Mapping[str, Strip]


def run(
    setting: Setting,
    subject: Subject,
    ask: suite.Ask,
    at_once: int,
    progress: Callable[[str, int], contextlib.AbstractContextManager[ProgressCallback]],
) -> Outcome:
    """Evaluate a subject.

    Args:
        ask: answers scenes with the subject's frames.
        at_once: seeds whose scenes are asked together.
        progress: opens a progress bar.
    """
    stage, tier, (height, width) = setting.staging.stage, setting.tier, setting.size
    known = calibration.staged(stage, tuple(setting.seeds), "validation", tier.validation, setting.size)
    checks = calibration.validate(known, subject.codec, subject.simulator)
    scenes = suite.sets_of_scenes(stage, tier, setting.seeds, setting.size, at_once)
    with progress(f"{subject.name}, scenes", sum(map(len, setting.seeds.values()))) as on_progress:
        found = suite.run(scenes, ask, subject.codec, on_progress)
    judged = Judged(
        model=subject.name,
        digest=subject.digest,
        context=subject.context,
        world=setting.world,
        world_digest=calibration.scenes_digest(known),
        width=width,
        height=height,
        tier=setting.tier_name,
        split=setting.split,
        seeds=setting.seeds,
    )
    return Outcome(judged, checks, summarise(found.trials), found.trials, found.strips)
