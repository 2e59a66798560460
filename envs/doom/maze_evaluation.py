"""What `worldsim eval` measures of the Doom maze beyond what it measures of every world. Data only."""

from worldsim.evals.probes import EVERY_WORLD, Probes, StateGroup, Target, TurnProbe

PROBES = Probes(
    groups=(
        StateGroup("place", ("x", "y"), unit="map units", radius=96.0),
        StateGroup("heading", ("sin", "cos"), "angle", "degrees", radius=45.0),
    ),
    turn=TurnProbe(("turn-left", "turn-right"), 40, "place", "heading", 96.0, 45.0, "ahead", 56.0),
    targets=(
        Target("detail.kept_16", least=0.80),
        Target("detail.kept_256", least=0.70),
        Target("detail.kept_1000", least=0.70),
        Target("drift.collapsed", most=0.01),
        Target("actions.agreement_of_ceiling", least=0.85),
        Target("fidelity.gain_16", least=4.0),
        Target("turn.returned", least=0.80),
        Target("turn.nearest", least=0.80),
        Target("stillness.psnr_300", least=28.0),
        *EVERY_WORLD,
    ),
)
