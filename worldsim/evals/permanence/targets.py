"""Which of a world's targets a tier of the suite asks."""

from __future__ import annotations

from collections.abc import Sequence

from worldsim.evals.permanence.results import Judged
from worldsim.evals.probes import Target
from worldsim.evals.section import Section


def asked_targets(wanted: Sequence[Target], judged: Judged, sections: Sequence[Section]) -> tuple[Target, ...]:
    """All of the world's targets; of the smoke tier, which does not measure everything, those that it measures."""
    if judged.tier != "smoke":
        return tuple(wanted)
    figures = {figure.key for section in sections for figure in section.figures}
    return tuple(t for t in wanted if t.figure in figures and not t.figure.endswith(".half_life"))
