"""The hideaway's first probe at the tiny world's size and under its name: frames and places at two thirds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import cv2
import hideaway
import numpy as np
import tiny

from worldsim.evals.permanence.scene import Branch, Scene, Thing, View
from worldsim_envs.base import RealEnv

PROBES = ("P1",)
SCALE = tiny.HEIGHT / hideaway.H


def stage(probe: str, seed: int, points: Sequence[int], height: int, width: int) -> tuple[Scene, ...]:
    return tuple(_scene(scene) for scene in hideaway.stage(probe, seed, points, hideaway.H, hideaway.W))


class SmallEnv(RealEnv):
    """There for its spec."""

    def __init__(self, **options: Any):
        super().__init__(tiny.tiny_spec(), tiny.ORIGIN, None)


def _frame(frame: np.ndarray) -> np.ndarray:
    return cv2.resize(frame, (tiny.WIDTH, tiny.HEIGHT), interpolation=cv2.INTER_AREA)


def _thing(thing: Thing) -> Thing:
    x, y = ((v + 0.5) * SCALE - 0.5 for v in (thing.x, thing.y))
    return dataclasses.replace(thing, x=x, y=y, radius=thing.radius * SCALE, area=thing.area * SCALE**2)


def _view(view: View) -> View:
    return View(_frame(view.frame), tuple(_thing(thing) for thing in view.things))


def _branch(branch: Branch) -> Branch:
    views = tuple(_view(view) for view in branch.views)
    landmarks = (branch.landmarks * SCALE).astype(np.int64)
    return dataclasses.replace(branch, views=views, covered=_frame(branch.covered), landmarks=landmarks)


def _scene(scene: Scene) -> Scene:
    return dataclasses.replace(
        scene,
        context=np.stack([_frame(frame) for frame in scene.context]),
        last=_view(scene.last),
        first=_view(scene.first),
        before=tuple(_thing(thing) for thing in scene.before),
        branches=tuple(_branch(branch) for branch in scene.branches),
        control=None,
    )
