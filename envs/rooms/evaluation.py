"""What `worldsim eval` measures of the rooms beyond what it measures of every world. Data only."""

from worldsim.evals.permanence.calibration import LEAST_RECALL, MOST_FALSE
from worldsim.evals.probes import EVERY_WORLD, Probes, StateGroup, Target, TurnProbe

PROBES = Probes(
    groups=(
        StateGroup("place", ("x", "y"), unit="walls", radius=0.6),
        StateGroup("heading", ("sin", "cos"), "angle", "degrees", radius=45.0),
    ),
    turn=TurnProbe(("turn-left", "turn-right"), 60, "place", "heading", 0.6, 45.0, "ahead", 1.0),
    targets=(Target("detail.kept_64", least=0.70), *EVERY_WORLD),
    permanence_targets=(
        Target("detector.codec_recall", least=LEAST_RECALL),
        Target("detector.codec_false", most=MOST_FALSE),
        Target("P3.around", least=0.85),
        Target("P3.right_128", least=0.8),
        Target("P8.hallucination", most=0.02),
    ),
)
