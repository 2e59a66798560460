"""Asking a simulator: one hidden rollout a scene, a reveal branched off it at every point, visible control, memory cut.

The memory is cut without the model's help: it is reset from the newest frames it generated itself while everything was
hidden, so it knows nothing but what these frames show. Knows no score; scenes in, frames out.

B scenes at once, C context frames, h hiding actions, n frames of a branch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from worldsim.evals.core import ProgressCallback, Simulator, no_progress, reset_from_context
from worldsim.evals.permanence.scene import CONTEXT, SCORED, TWINS, Scene


@runtime_checkable
class Surprised(Protocol):
    """A simulator that offers its denoising loss of a clip."""

    def surprise(self, state: Any, actions: np.ndarray, frames: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Mean loss, float `[B]`, of frames uint8 `[B, n, H, W, 3]` as what follows a state under actions `[B, n]`.

        Equal seeds `[B]` mean equal noise, so that clips can be compared.
        """


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """The frames that a simulator generated for a scene; reveals by point.

    Attributes:
        hidden: uint8 `[h + k_max, H, W, 3]`, the frames from the first hiding action on.
        reveals: uint8 `[n, H, W, 3]`. cut: the same with the memory cut, for points with 32 hidden frames or more.
        control: uint8 `[SCORED, H, W, 3]`, the frames of the visible control that are scored.
        surprise: (point, twin) -> loss of that twin's true reveal as what follows here.
    """

    hidden: np.ndarray
    reveals: Mapping[int, np.ndarray]
    cut: Mapping[int, np.ndarray] = dataclasses.field(default_factory=dict)
    control: Mapping[int, np.ndarray] = dataclasses.field(default_factory=dict)
    surprise: Mapping[tuple[int, str], float] = dataclasses.field(default_factory=dict)


def ask(simulator: Simulator, scenes: Sequence[Scene], on_progress: ProgressCallback = no_progress) -> list[Answer]:
    """A simulator's answers to scenes, whole sets of twins; in their order."""
    answers: list[Answer | None] = [None] * len(scenes)
    for rows in _batches(scenes, simulator.rows):
        batch = [scenes[i] for i in rows]
        siblings = [{other.twin: other for other in scenes if other.seed == scene.seed} for scene in batch]
        for i, answer in zip(rows, _ask(simulator, batch, siblings, on_progress), strict=True):
            answers[i] = answer
    controls = [i for i, scene in enumerate(scenes) if scene.control is not None]
    for start in range(0, len(controls), simulator.rows):
        rows = controls[start : start + simulator.rows]
        for i, seen in zip(rows, _controls(simulator, [scenes[i] for i in rows], on_progress), strict=True):
            made = answers[i]
            assert made is not None
            answers[i] = dataclasses.replace(made, control=seen)
    return [answer for answer in answers if answer is not None]


def frames_asked(scene: Scene) -> int:
    """How many frames `ask` has a simulator generate for a scene, not counting losses."""
    reveals = sum(len(branch.actions) * (1 + (branch.k >= CONTEXT)) for branch in scene.branches)
    return len(scene.hide) + len(scene.hold) + reveals + (0 if scene.control is None else len(scene.control.actions))


def first_steps(simulator: Simulator, scenes: Sequence[Scene]) -> np.ndarray:
    """The first generated frame of each scene, uint8 `[B, H, W, 3]`: what `Scene.first` is true of."""
    made = []
    for start in range(0, len(scenes), simulator.rows):
        batch = scenes[start : start + simulator.rows]
        made.append(simulator.step(_begin(simulator, batch), np.array([scene.hide[0] for scene in batch]))[1])
    return np.concatenate(made)


def _ask(
    simulator: Simulator, scenes: list[Scene], siblings: list[dict[str, Scene]], on_progress: ProgressCallback
) -> list[Answer]:
    past = np.stack([np.concatenate([scene.hide, scene.hold]) for scene in scenes])
    h, seeds = len(scenes[0].hide), _seeds(scenes)
    hidden = np.empty((*past.shape, *scenes[0].context.shape[1:]), np.uint8)
    reveals: dict[int, np.ndarray] = {}
    cut: dict[int, np.ndarray] = {}
    surprise: list[dict[tuple[int, str], float]] = [{} for _ in scenes]
    points = {h + branch.k: i for i, branch in enumerate(scenes[0].branches)}
    state = _begin(simulator, scenes)
    for t in range(1, past.shape[1] + 1):
        state, hidden[:, t - 1] = simulator.step(state, past[:, t - 1])
        on_progress(len(scenes))
        if t not in points:
            continue
        branches = [scene.branches[points[t]] for scene in scenes]
        actions, point = np.stack([branch.actions for branch in branches]), branches[0].point
        reveals[point] = _play(simulator, state, actions, on_progress)
        if branches[0].k >= CONTEXT:
            window = slice(t - CONTEXT, t)
            seen, taken = hidden[:, window], past[:, t - CONTEXT + 1 : t]
            cut[point] = _play(simulator, reset_from_context(simulator, seen, taken, seeds), actions, on_progress)
        if isinstance(simulator, Surprised):
            for twin in TWINS:
                others = [twins.get(twin, scene) for twins, scene in zip(siblings, scenes, strict=True)]
                views = [other.branches[points[t]].views for other in others]
                clips = np.stack([np.stack([view.frame for view in clip]) for clip in views])
                for row, loss in enumerate(simulator.surprise(state, actions, clips, seeds)):
                    surprise[row][point, twin] = float(loss)
    return [
        Answer(
            hidden[i],
            {point: frames[i] for point, frames in reveals.items()},
            {point: frames[i] for point, frames in cut.items()},
            surprise=surprise[i],
        )
        for i in range(len(scenes))
    ]


def _controls(simulator: Simulator, scenes: list[Scene], on_progress: ProgressCallback) -> list[dict[int, np.ndarray]]:
    controls = [scene.control for scene in scenes if scene.control is not None]
    longest = max(len(control.actions) for control in controls)
    actions = np.stack([np.pad(control.actions, (0, longest - len(control.actions)), "edge") for control in controls])
    wanted = [
        {index + i: (point, i) for point, (index, _) in control.checks.items() for i in range(SCORED)}
        for control in controls
    ]
    size = scenes[0].context.shape[1:]
    seen = [{point: np.empty((SCORED, *size), np.uint8) for point in control.checks} for control in controls]
    state = _begin(simulator, scenes)
    for t in range(longest):
        state, frames = simulator.step(state, actions[:, t])
        on_progress(len(scenes))
        for row, places in enumerate(wanted):
            if t in places:
                point, i = places[t]
                seen[row][point][i] = frames[row]
    return seen


def _play(simulator: Simulator, state: Any, actions: np.ndarray, on_progress: ProgressCallback) -> np.ndarray:
    made = []
    for t in range(actions.shape[1]):
        state, frames = simulator.step(state, actions[:, t])
        made.append(frames)
        on_progress(len(actions))
    return np.stack(made, axis=1)


def _begin(simulator: Simulator, scenes: Sequence[Scene]) -> Any:
    frames = np.stack([scene.context for scene in scenes])
    return reset_from_context(simulator, frames, np.stack([scene.actions for scene in scenes]), _seeds(scenes))


def _seeds(scenes: Sequence[Scene]) -> np.ndarray:
    return np.array([scene.seed for scene in scenes])


def _batches(scenes: Sequence[Scene], most: int) -> Iterator[list[int]]:
    """Indices of scenes that keep step with each other, at most so many at once."""
    alike: dict[tuple[Any, ...], list[int]] = {}
    for i, scene in enumerate(scenes):
        times = tuple((branch.point, branch.k, len(branch.actions)) for branch in scene.branches)
        alike.setdefault((len(scene.hide), len(scene.hold), times), []).append(i)
    for rows in alike.values():
        yield from (rows[i : i + most] for i in range(0, len(rows), most))
