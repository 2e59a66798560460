"""The suite: stage, ask, judge, probe by probe. Knows neither worlds nor files.

Scenes are staged a few seeds at a time and freed again, so that memory does not grow with the tier.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from worldsim.evals.core import Codec, ProgressCallback, no_progress
from worldsim.evals.permanence.ask import Answer
from worldsim.evals.permanence.baselines import baselines
from worldsim.evals.permanence.expectation import expectation
from worldsim.evals.permanence.gates import found_before, stayed_hidden
from worldsim.evals.permanence.judge import Trial, judge, judge_control, judge_cut
from worldsim.evals.permanence.scene import REVEALED, Scene, Stage
from worldsim.evals.permanence.summary import Trials
from worldsim.evals.permanence.tiers import Tier
from worldsim.evals.section import Strip

Ask = Callable[[Sequence[Scene]], list[Answer]]
SHOWN = (0, 1, 4, REVEALED - 1)  # frames after the gate, on a film strip
CAPTIONS = ("last seen", "first hidden", "last hidden", *(f"+{i}" for i in SHOWN))


@dataclasses.dataclass(frozen=True)
class Found:
    """What a run gave: all trials, and film strips of each probe."""

    trials: Trials
    strips: Mapping[str, Strip]


def sets_of_scenes(
    stage: Stage, tier: Tier, seeds: Mapping[str, Sequence[int]], size: tuple[int, int], at_once: int
) -> Iterator[list[Scene]]:
    """All scenes of a tier, the twins of a few seeds of one probe at a time. `size` is (height, width)."""
    for probe, numbers in seeds.items():
        for i in range(0, len(numbers), at_once):
            yield [
                scene for seed in numbers[i : i + at_once] for scene in stage(probe, seed, tier.points[probe], *size)
            ]


def run(
    scenes: Iterator[list[Scene]], ask: Ask, codec: Codec | None, on_progress: ProgressCallback = no_progress
) -> Found:
    """Ask, judge, and keep the best, the worst and a random example of each probe.

    `on_progress` is called with the number of seeds done.
    """
    trials: list[Trial] = []
    gallery = Gallery()
    for some in scenes:
        answers = ask(some)
        for scene, answer in zip(some, answers, strict=True):
            made = judge_scene(scene, some, answer, codec)
            trials += made
            gallery.offer(scene, answer, made)
        on_progress(len({scene.seed for scene in some}))
    return Found(Trials.of(trials), gallery.strips())


def judge_scene(scene: Scene, others: Sequence[Scene], answer: Answer, codec: Codec | None) -> list[Trial]:
    """All trials of a scene: the model's, the baselines', and those with its twins among `others`."""
    found, hidden = found_before(scene), stayed_hidden(scene, answer.hidden)
    trials = []
    for branch in scene.branches:
        trials += judge("model", scene, branch, answer.reveals[branch.point], found, hidden[branch.point])
        if branch.point in answer.cut:
            trials += judge_cut(scene, branch, answer.cut[branch.point], found, hidden[branch.point])
        if branch.point in answer.control:
            trials += judge_control(scene, branch, answer.control[branch.point])
    trials += expectation(scene, [other for other in others if other.seed == scene.seed], answer, hidden)
    return trials + baselines(scene, codec, found)


class Gallery:
    """For each probe the best, the worst and a random one of the scenes offered, revealed after the longest time."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, tuple[tuple[float, float], np.ndarray, str]]] = {}
        self._rng, self._offered = np.random.default_rng(0), 0

    def offer(self, scene: Scene, answer: Answer, trials: Sequence[Trial]) -> None:
        """Keep an answer if it is the best, the worst, or drawn at random."""
        branch = scene.branches[-1]
        mine = [t for t in trials if t.arm == "model" and t.point == branch.point and t.probe == scene.probe]
        right = float(np.mean([t.right * t.gates for t in mine]))
        errors = [t.outcome.error for t in mine if not np.isnan(t.outcome.error)]
        rank = (right, -float(np.mean(errors)) if errors else -np.inf)
        kept = self._kept.setdefault(scene.probe, {})
        self._offered += 1
        places = []
        if scene.present and ("best" not in kept or rank > kept["best"][0]):
            places.append("best")
        if "worst" not in kept or rank < kept["worst"][0]:
            places.append("worst")
        if "random" not in kept or self._rng.random() < 1 / self._offered:
            places.append("random")
        note = f"twin {scene.twin}: {', '.join(sorted({t.label for t in mine}))}"
        for place in places:
            kept[place] = rank, _film(scene, answer), note

    def strips(self) -> dict[str, Strip]:
        """By probe: true above generated frames, for each of the three."""
        strips = {}
        for probe, kept in self._kept.items():
            rows = {}
            for place, (_, film, note) in sorted(kept.items()):
                rows[f"{place} ({note}), true"], rows[f"{place}, generated"] = film
            strips[probe] = Strip("Film strips after the longest hidden time", rows, CAPTIONS)
        return strips


def _film(scene: Scene, answer: Answer) -> np.ndarray:
    """True and generated frames of a scene, uint8 `[2, len(CAPTIONS), H, W, 3]`."""
    branch, h = scene.branches[-1], len(scene.hide)
    made = answer.reveals[branch.point]
    revealed = [branch.gate + i for i in SHOWN]
    true = [scene.last.frame, scene.first.frame, branch.covered, *(branch.views[i].frame for i in revealed)]
    mine = [scene.last.frame, answer.hidden[0], answer.hidden[h + branch.k - 1], *made[revealed]]
    return np.stack([np.stack(true), np.stack(mine)])
