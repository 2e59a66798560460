"""What is asked of each world beyond what is asked of all: its state in words, its turn, its counter, its targets.

A world without an entry is judged by everything that needs none. Only data: the instruments are elsewhere.
"""

from __future__ import annotations

import dataclasses

from worldsim.spec import WorldSpec


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
    """A whole turn on the spot: `frames` times either action brings the real world back to where it was.

    Attributes:
        actions: names of the actions that turn, one each way.
        frames: in a whole turn.
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
    """Everything asked of one world alone."""

    groups: tuple[StateGroup, ...] = ()
    turn: TurnProbe | None = None
    counter: CounterProbe | None = None
    events: tuple[EventProbe, ...] = ()
    targets: tuple[Target, ...] = ()


EVERY_WORLD = (
    Target("bench.fps_batch_1", least=30.0),
    Target("bench.p95_ms_batch_1", most=45.0),
    Target("bench.start_up_s", most=5.0),
    Target("bench.size_mb", most=25.0),
)

PROBES = {
    "atari-freeway": Probes(
        groups=(
            StateGroup("player", ("chicken_y",), unit="px", radius=3.0),
            StateGroup("cars", tuple(f"car_{i}_x" for i in range(10)), "mean", "px", period=96.0),
            StateGroup("score", ("score",)),
        ),
        counter=CounterProbe("chicken_y", (2 / 128, 9 / 128, 14 / 96, 36 / 96)),
        targets=(
            Target("fidelity.codec_psnr", least=32.0),
            Target("drift.collapsed", most=0.0),
            Target("motion.moving", least=0.98),
            Target("actions.agreement_of_ceiling", least=0.90),
            Target("state.player_kept", least=30.0),
            Target("motion.counted_net", least=0.9),
            *EVERY_WORLD,
        ),
    ),
    "doom-maze": Probes(
        groups=(
            StateGroup("place", ("x", "y"), unit="map units", radius=96.0),
            StateGroup("heading", ("sin", "cos"), "angle", "degrees", radius=45.0),
        ),
        turn=TurnProbe(("turn-left", "turn-right"), 40, "place", "heading", 96.0, 45.0, "ahead", 56.0),
        targets=(
            Target("drift.collapsed", most=0.01),
            Target("actions.agreement_of_ceiling", least=0.85),
            Target("fidelity.gain_16", least=4.0),
            Target("turn.returned", least=0.80),
            Target("stillness.psnr_300", least=28.0),
            *EVERY_WORLD,
        ),
    ),
    "doom-take-cover": Probes(
        groups=(
            StateGroup("player", ("place",), unit="map units", radius=32.0),
            StateGroup("monsters in view", ("monsters_seen",)),
            StateGroup("fireballs in view", ("fireballs_seen",)),
        ),
        events=(
            EventProbe("monsters", "monsters that appear in 1,000 frames", "monsters_seen", "growth"),
            EventProbe("fireballs", "fireballs in view", "fireballs_seen", "level"),
            EventProbe("deaths", "deaths in 1,000 frames", "", "count"),
        ),
        targets=(
            Target("events.monsters", most=0.15),
            Target("events.fireballs", most=0.15),
            Target("events.deaths", most=0.15),
            Target("drift.collapsed", most=0.01),
            *EVERY_WORLD,
        ),
    ),
    "toybox": Probes(  # what it remembers is asked by `worldsim eval permanence`
        groups=(
            StateGroup("camera", ("camera",), unit="units", radius=4.0),
            StateGroup("hand", ("hand_x", "hand_height"), unit="units", radius=4.0),
            StateGroup("screen", ("screen",), unit="steps"),
        ),
        targets=EVERY_WORLD,
    ),
    "rooms": Probes(
        groups=(
            StateGroup("place", ("x", "y"), unit="walls", radius=0.6),
            StateGroup("heading", ("sin", "cos"), "angle", "degrees", radius=45.0),
        ),
        turn=TurnProbe(("turn-left", "turn-right"), 60, "place", "heading", 0.6, 45.0, "ahead", 1.0),
        targets=EVERY_WORLD,
    ),
}


def probes_of(spec: WorldSpec) -> Probes:
    """A world's probes; one without an entry has each component of its state judged by itself."""
    if spec.name in PROBES:
        return PROBES[spec.name]
    return Probes(groups=tuple(StateGroup(name, (name,)) for name in spec.state_names), targets=EVERY_WORLD)
