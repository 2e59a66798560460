"""What `worldsim eval` measures of the rooms beyond what it measures of every world. Data only."""

from worldsim.evals.probes import EVERY_WORLD, Probes, StateGroup, TurnProbe

PROBES = Probes(
    groups=(
        StateGroup("place", ("x", "y"), unit="walls", radius=0.6),
        StateGroup("heading", ("sin", "cos"), "angle", "degrees", radius=45.0),
    ),
    turn=TurnProbe(("turn-left", "turn-right"), 60, "place", "heading", 0.6, 45.0, "ahead", 1.0),
    targets=EVERY_WORLD,
)
