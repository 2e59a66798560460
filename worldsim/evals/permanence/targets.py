"""The figures that worldsim's own worlds are to reach in the suite. Only data."""

from __future__ import annotations

from collections.abc import Sequence

from worldsim.evals.permanence.calibration import LEAST_RECALL, MOST_FALSE
from worldsim.evals.permanence.results import Judged
from worldsim.evals.probes import Target
from worldsim.evals.section import Section

TARGETS: dict[str, tuple[Target, ...]] = {
    "toybox": (
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
    "rooms": (
        Target("detector.codec_recall", least=LEAST_RECALL),
        Target("detector.codec_false", most=MOST_FALSE),
        Target("P3.around", least=0.85),
        Target("P3.right_128", least=0.8),
        Target("P8.hallucination", most=0.02),
    ),
}


def targets_of(judged: Judged, sections: Sequence[Section]) -> tuple[Target, ...]:
    """Those of the world that was judged; of the smoke tier, which does not ask everything, those that it asks."""
    figures = {figure.key for section in sections for figure in section.figures}
    wanted = TARGETS.get(judged.world, ())
    if judged.tier != "smoke":
        return wanted
    return tuple(t for t in wanted if t.figure in figures and not t.figure.endswith(".half_life"))
