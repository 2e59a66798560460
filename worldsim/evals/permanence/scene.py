"""Scenes: what a simulator is shown and asked, and what is true. Filled by whoever owns a real world; judged elsewhere.

    32 real frames (context) -> `hide` -> `hold`, frame by frame -> at each point k a branch that reveals, and 16 frames
    |-- seen, given ---------|-- generated: the targets are out of sight ----|-- generated: the targets are back -----|

One hidden rollout serves all points: branch k begins after `hold[:k]`, and takes its own actions from there. A world
that is to be judged offers a module with `PROBES`, the names of the probes it can stage, and

    stage(probe, seed, points, height, width) -> tuple[Scene, ...]      # the twins of one seed

Probes that are staged: P1 screen, P2 mover behind a screen, P3 look away and back, P4 container, P4b carried
container, P5 shell game, P6 interaction persists, P7 count. P8 (spontaneous appearance) is judged on the absent twins
of the others; P9 (violation of expectation) on the twins' true reveals: each is possible after its own context and
impossible after that of its twin. So neither is staged.

This file knows numpy, and no world, no model and no score. H, W: frame size; n: frames of a branch; m: landmarks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

VERSION = "1"  # of the suite: what is frozen under it never changes
CONTEXT = 32  # real frames that come first
LEAST_SEEN = 8  # of them show every target
SCORED = 3  # frames from the gate on that are scored, by their median
REVEALED = 16  # frames from the gate on that are generated

# Reserved for objects: nothing else in a judged frame may come within 40 (CIE76) of one.
PALETTE = {
    "red": (225, 35, 40),
    "yellow": (250, 220, 30),
    "green": (30, 170, 60),
    "cyan": (30, 200, 225),
    "blue": (40, 70, 225),
    "magenta": (215, 40, 200),
}
COLOURS = tuple(PALETTE)  # their order is that of colour indices
SHAPES = ("ball", "box", "cone", "cross")  # disc, square, triangle on its base, plus with arms of a third
TWINS = ("a", "colour", "place", "absent")


@dataclasses.dataclass(frozen=True)
class Thing:
    """One object at one moment, in a frame's pixels.

    Attributes:
        colour: index into `COLOURS`. shape: index into `SHAPES`.
        x, y: centroid of its whole silhouette; 0, 0 is the middle of the top left pixel; x to the right, y down.
        radius: half its height or width, whichever is larger: the unit of position errors.
        area: pixels of its whole silhouette, as if nothing were before it.
        visible: share of them that can be seen; 0 for what is hidden, out of view, taken away, or absent (see `Scene`).
    """

    colour: int
    shape: int
    x: float
    y: float
    radius: float
    area: float
    visible: float


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """What is true of one frame.

    Attributes:
        frame: uint8 `[H, W, 3]`.
        things: all objects, always as many and in the same order within a scene.
    """

    frame: np.ndarray
    things: tuple[Thing, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Branch:
    """A reveal: from the frame after `hold[:k]` on.

    Attributes:
        point: the point asked for: the hidden time k, or for P5 the number of swaps.
        k: hidden frames before it: how much of `hold` was played.
        actions: int64 `[n]`: bring the targets back, and then let 16 frames pass. n is as long as the way back.
        views: n, one after each action.
        gate: the first view that counts: the screen is up, the camera back, the lid open, and every target that can be
            seen is whole. `n == gate + REVEALED`.
        covered: uint8 `[H, W, 3]`, the true frame before the first of the actions: what it looks like while hidden.
        landmarks: int64 `[m, 4]`, boxes (left, top, right, bottom; the last two exclusive) around parts of the
            background that are seen at the gate and the two frames after it, free of objects.
        conditions: what this branch has of its own, such as `{"swaps": 4}`.
    """

    point: int
    k: int
    actions: np.ndarray
    views: tuple[View, ...]
    gate: int
    covered: np.ndarray
    landmarks: np.ndarray
    conditions: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.actions.dtype == np.int64 and self.actions.shape == (len(self.views),), self.actions.shape
        assert self.gate >= 0 and len(self.views) == self.gate + REVEALED, (self.gate, len(self.views))
        assert self.landmarks.ndim == 2 and self.landmarks.shape[1] == 4, self.landmarks.shape

    @property
    def scored(self) -> tuple[View, ...]:
        """The views that count."""
        return self.views[self.gate : self.gate + SCORED]


@dataclasses.dataclass(frozen=True, eq=False)
class Control:
    """The same, never hidden: the visible control of a scene (twin "a" only).

    Attributes:
        actions: int64 `[c]`, on from the last context frame; no target is ever out of sight (for P3: the camera stays;
            for P1, P2, P7: the screen stays up; for P4: the lid stays open; for P6: nobody leaves).
        checks: for each point the views of `SCORED` frames in a row that are as late as the branch's scored ones, as
            (index of the action that leads to the first of them, views).
    """

    actions: np.ndarray
    checks: Mapping[int, tuple[int, tuple[View, ...]]]

    def __post_init__(self) -> None:
        assert self.actions.dtype == np.int64 and self.actions.ndim == 1
        for index, views in self.checks.values():
            assert len(views) == SCORED and 0 <= index <= len(self.actions) - SCORED, index


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """One twin of one seeded situation of one probe.

    Twins share seed, actions and timing, and everything else but the first target: "a"; "colour": it has another colour
    of the palette; "place": it is elsewhere; "absent": it never was there. An absent target stays in `things` as it is
    in twin "a", with `visible` 0 throughout. A probe leaves out a twin that makes no sense for it, but not "absent".

    Within a scene no two things have the same colour, except in P7, where those of one colour stay two radii apart.

    Attributes:
        probe: "P1" … "P7". world: its name. seed: of the four twins. twin: one of `TWINS`.
        conditions: what was drawn: at least `{"objects": 3}`, and what there is of "speed" (radii a frame), "camera"
            ("still", "pan", "turn", "walk"), "cups", "interaction" ("move", "paint", "remove"), and so on.
        context: uint8 `[32, H, W, 3]`; every target is whole in at least `LEAST_SEEN` of them and in the last. The
            interaction of P6 happens in it, is seen, and over in the last (where what was removed is no more).
        actions: int64 `[31]`, taken between them.
        hide: int64 `[h]`, after which every target is out of sight and stays so. h is the same for a probe's seeds.
        hold: int64 `[k_max]`, the hidden time, with all that happens in it (the container carried, the cups swapped).
        last: what is true of the last context frame. first: of the frame after `hide[0]`.
        targets: indices of the things that are hidden, the one that makes the twins first. P7 counts them all.
        before: the things as a world that takes no notice would have them at the reveal: as in `last` for all probes
            but P6, and there as they were before the interaction.
        branches: one for each point, in order.
        chance: the share right of someone who knows all but what was hidden: 1/6 for a colour, 1/cups, 1/2 …
        start: what the world's `restore` takes to be at the first context frame, so that anyone can play it again.
        control: see there; None where there is none.
    """

    probe: str
    world: str
    seed: int
    twin: str
    conditions: Mapping[str, Any]
    context: np.ndarray
    actions: np.ndarray
    hide: np.ndarray
    hold: np.ndarray
    last: View
    first: View
    targets: tuple[int, ...]
    before: tuple[Thing, ...]
    branches: tuple[Branch, ...]
    chance: float
    start: Any
    control: Control | None = None

    def __post_init__(self) -> None:
        size = self.last.frame.shape
        assert self.twin in TWINS and 0 < self.chance < 1 and self.targets and self.branches
        assert self.context.dtype == np.uint8 and self.context.shape == (CONTEXT, *size), self.context.shape
        assert np.array_equal(self.context[-1], self.last.frame)
        assert self.actions.dtype == np.int64 and self.actions.shape == (CONTEXT - 1,), self.actions.shape
        assert self.hide.dtype == self.hold.dtype == np.int64 and len(self.hide) and self.hold.ndim == 1
        views = [self.last, self.first, *(view for branch in self.branches for view in branch.views)]
        counts = {len(self.before), *(len(view.things) for view in views)}
        assert len(counts) == 1 and max(self.targets) < counts.pop(), "things come and go"
        assert all(branch.k <= len(self.hold) and branch.covered.shape == size for branch in self.branches)
        hidden = self.targets[1:] if self.twin == "absent" else self.targets
        whole = all(self.last.things[i].visible > 0.9 for i in hidden)
        assert whole or self.conditions.get("interaction") == "remove", "a target isn't whole in the last context frame"
        if self.twin == "absent":
            assert all(view.things[self.targets[0]].visible == 0 for view in views), "the absent target is there"

    @property
    def present(self) -> bool:
        """Whether the first target was ever there."""
        return self.twin != "absent"


class Stage(Protocol):
    """Sets up a seeded situation of a real world, and plays it through once a twin."""

    def __call__(self, probe: str, seed: int, points: Sequence[int], height: int, width: int) -> tuple[Scene, ...]:
        """The twins of one seed, in the order of `TWINS`; the same arguments give the same scenes.

        Args:
            probe: one of the module's `PROBES`.
            seed: 0 or more; far above those of recordings.
            points: rising hidden times k of 1 and more, or for P5 numbers of swaps of 0 and more.
            height, width: of the frames.
        """
