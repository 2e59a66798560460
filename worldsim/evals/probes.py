"""What can be measured of one world beyond what is measured of all: groups of its state, a turn, a counter, targets.

Only the classes: the data of a world lies beside the world, and the instruments that read it are in `instruments/`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worldsim.evals.instruments.state import ReadState
    from worldsim.evals.world_judge import WorldJudge


@dataclasses.dataclass(frozen=True)
class StateGroup:
    """Components of the exact state whose error is one figure.

    Attributes:
        name: for people.
        components: names of the state. "distance" takes the Euclidean length of their error; "angle" takes sine and
            cosine and gives degrees; "mean" is the mean absolute error of each by itself.
        kind: "distance", "angle" or "mean".
        unit: for people.
        period: of each component, if it wraps round.
        radius: the error at which the state counts as lost, in `unit`.
    """

    name: str
    components: tuple[str, ...]
    kind: str = "distance"
    unit: str = ""
    period: float = 0.0
    radius: float = 0.0


@dataclasses.dataclass(frozen=True)
class TurnProbe:
    """A full turn on the spot: `frames` times either action brings the real world back to where it was.

    Attributes:
        actions: names of the actions that turn, one each way.
        frames: of a full turn.
        place, heading: names of state groups ("distance" and "angle").
        radius: how far from where it began the turn may end, in the place's unit.
        degrees: how far off the heading may be, on the way and in the end.
        view, least_view: a component of state and the least value at which a start shows a room, not only a wall.
    """

    actions: tuple[str, str]
    frames: int
    place: str
    heading: str
    radius: float
    degrees: float
    view: str
    least_view: float


@dataclasses.dataclass(frozen=True)
class CounterProbe:
    """Something that is counted on screen, like a score.

    Attributes:
        mover: the component of state that jumps when there is something to count.
        area: where the counter is: top, bottom, left, right, as shares of the frame.
    """

    mover: str
    area: tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True)
class EventProbe:
    """Something that happens by chance, and how often.

    Attributes:
        key: of its figure. label: what it is, in words.
        component: of the state, read off frames; "" for ends of play.
        kind: "level", the mean of the component; "growth", its rise in 1,000 frames; "count", how often in 1,000.
    """

    key: str
    label: str
    component: str
    kind: str


@dataclasses.dataclass(frozen=True)
class Target:
    """A figure that must be reached: `figure` is its key, `least` or `most` the limit (one of them)."""

    figure: str
    least: float | None = None
    most: float | None = None


@dataclasses.dataclass(frozen=True)
class Probes:
    """Everything measured of one world alone.

    Attributes:
        groups, turn, counter, events: what `worldsim eval` measures besides.
        make_reader: (height, width) -> what reads the state off frames of this size, where the world can be read
            exactly; components that frames don't show are 0. Elsewhere a net is trained to read it.
        judge: measures what only this world can be asked.
        targets: of `worldsim eval` and `worldsim bench`.
        permanence_targets: of `worldsim eval permanence`, where the suite can be staged in the world.
    """

    groups: tuple[StateGroup, ...] = ()
    turn: TurnProbe | None = None
    counter: CounterProbe | None = None
    events: tuple[EventProbe, ...] = ()
    make_reader: Callable[[int, int], ReadState] | None = None
    judge: WorldJudge | None = None
    targets: tuple[Target, ...] = ()
    permanence_targets: tuple[Target, ...] = ()


EVERY_WORLD = (
    Target("bench.fps_batch_1", least=30.0),
    Target("bench.p95_ms_batch_1", most=45.0),
    Target("bench.start_up_s", most=5.0),
    Target("bench.size_mb", most=25.0),
)
