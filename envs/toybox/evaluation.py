"""What `worldsim eval` measures of the toy box beyond what it measures of every world. Data only."""

from worldsim.evals.probes import EVERY_WORLD, Probes, StateGroup

PROBES = Probes(  # `worldsim eval permanence` measures what it remembers
    groups=(
        StateGroup("camera", ("camera",), unit="units", radius=4.0),
        StateGroup("hand", ("hand_x", "hand_height"), unit="units", radius=4.0),
        StateGroup("screen", ("screen",), unit="steps"),
    ),
    targets=EVERY_WORLD,
)
