"""What `worldsim eval` measures of the toy box beyond what it measures of every world. Data only."""

from worldsim.evals.permanence.calibration import LEAST_RECALL, MOST_FALSE
from worldsim.evals.probes import EVERY_WORLD, Probes, StateGroup, Target

PROBES = Probes(  # `worldsim eval permanence` measures what it remembers
    groups=(
        StateGroup("camera", ("camera",), unit="units", radius=4.0),
        StateGroup("hand", ("hand_x", "hand_height"), unit="units", radius=4.0),
        StateGroup("screen", ("screen",), unit="steps"),
    ),
    targets=EVERY_WORLD,
    permanence_targets=(
        Target("detector.codec_recall", least=LEAST_RECALL),
        Target("detector.codec_false", most=MOST_FALSE),
        *(
            Target(f"{probe}.{figure}", least=least)
            for probe in ("P1", "P3")
            for figure, least in (("right_64", 0.95), ("right_256", 0.9), ("right_1024", 0.75), ("half_life", 1025.0))
        ),
        Target("P1.cut", most=0.3),
        Target("P2.within_32", least=0.8),
        Target("P2.skill_32", least=0.5),
        Target("P4.right_64", least=0.9),
        Target("P4b.above_64", least=0.2),
        Target("P5.above_1", least=0.2),
        Target("P5.above_2", least=0.2),
        Target("P6.right_64", least=0.9),
        Target("P7.off_64", most=0.2),
        Target("P8.hallucination", most=0.02),
        Target("P9.right", least=0.9),
    ),
)
