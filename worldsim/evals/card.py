"""A world's card: what was measured of it, for people (card.md) and for programs (card.json). Measures nothing.

card.json has the figures of `figures.json` and, beside them, the world's name, its weights and how they were trained.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from worldsim.evals.figures import entries
from worldsim.evals.report import Report, Verdict
from worldsim.evals.section import Figure
from worldsim.runtime.bundle import Bundle

FORMAT = 1
UNKNOWN_TRAINING = "It is not stated whether the recipe reproduces these weights."


@dataclasses.dataclass(frozen=True)
class Weakness:
    """A figure that says something against the world when it is beyond a limit.

    Attributes:
        figure: its key. least, most: the world is weak below or above.
        text: what to say, with `{}` for the figure.
    """

    figure: str
    text: str
    least: float = -math.inf
    most: float = math.inf


WEAKNESSES = (
    Weakness(
        "fidelity.gain_16",
        "After 16 frames a free run is only {} closer to the real frames than a still picture.",
        least=1.0,
    ),
    Weakness(
        "fidelity.gain_64",
        "After 64 frames a free run has left the real one ({} over a still picture).",
        least=1.0,
    ),
    Weakness("drift.detail", "Long runs are blurred: {} of the real high-frequency energy.", least=0.9),
    Weakness("drift.detail", "Long runs are grainy: {} of the real high-frequency energy.", most=1.15),
    Weakness("drift.broken", "{} of the long runs stay in a view with little in it.", most=0.0),
    Weakness("drift.palette", "Colours shift in long runs (palette distance {}).", most=0.1),
    Weakness("motion.ghosts", "The counter changes with nothing to count ({}).", most=0.02),
    Weakness(
        "actions.agreement_of_ceiling", "Actions are not always followed ({} of what real frames allow).", least=0.97
    ),
    Weakness("stillness.psnr_300", "With no key pressed the picture drifts ({} after 300 frames).", least=32.0),
    Weakness(
        "stillness.starts_psnr_300",
        "From the worst of its shipped starts the picture changes with no key pressed ({} at the lowest within 300 "
        "frames).",
        least=32.0,
    ),
)


def card_json(bundle: Bundle, reports: Mapping[str, Report], training: str) -> dict[str, Any]:
    """The card for programs. Arguments as for `card_markdown`."""
    return {
        "format": FORMAT,
        "world": bundle.spec.name,
        "title": bundle.spec.title or bundle.spec.name,
        "weights": bundle.digest,
        "training": training,
        "figures": {key: figure for report in reports.values() for key, figure in entries(report).items()},
    }


def card_markdown(bundle: Bundle, reports: Mapping[str, Report], training: str, picture: bool, goal: str = "") -> str:
    """The card for people.

    Args:
        reports: by kind, all of this bundle's weights.
        training: a sentence or two on whether the recipe reproduces the weights.
        picture: whether there is a strip.png.
        goal: what there is to do in the world, one line written by hand; "" for none.
    """
    spec = bundle.spec
    lines = [f"# {spec.title or spec.name}", ""]
    if goal:
        lines += [f"> {goal}", ""]
    if picture:
        lines += ["![Real frames above generated ones, then a long free run](strip.png)", ""]
    lines += [
        f"A generated world: no game engine draws it. {spec.width}x{spec.height} pixels, {spec.fps:g} frames a second; "
        f"actions: {', '.join(action.name for action in spec.actions)}. Play it: `worldsim play --world {spec.name}`.",
        "",
        "## Where it comes from",
        "",
        *(f"- {name}: {value}" for name, value in bundle.origin.items() if not isinstance(value, (dict, list))),
        f"- training: {training}",
        "",
        *_size(bundle),
        *verdict_lines([verdict for report in reports.values() for verdict in report.verdicts]),
        "## Known weaknesses",
        "",
        *(f"- {text}" for text in weaknesses(reports) or ["None that these figures show."]),
        "",
        "## Figures",
        "",
    ]
    for report in reports.values():
        lines += report_lines(report)
    return "\n".join(lines).rstrip() + "\n"


def weaknesses(reports: Mapping[str, Report]) -> list[str]:
    """Missed targets and figures beyond a limit, a sentence each."""
    missed = [v for report in reports.values() for v in report.verdicts if not v.met]
    texts = [f"Target missed: {v.label}: {v.reached}, wanted {v.wanted}." for v in missed]
    stated = {v.key for v in missed}
    figures: dict[str, Figure] = {}
    for report in reports.values():
        figures.update(report.figures)
    for weakness in WEAKNESSES:
        figure = figures.get(weakness.figure)
        if figure is None or weakness.figure in stated or not math.isfinite(figure.value):
            continue
        if not weakness.least <= figure.value <= weakness.most:
            texts.append(weakness.text.format(figure.text()))
    return texts


def _size(bundle: Bundle) -> list[str]:
    counts: dict[str, int] = {}
    for name, weight in bundle.weights().items():
        parts = name.split(".")
        part = ".".join(parts[:2]) if parts[0] == "autoencoder" else parts[0]
        counts[part] = counts.get(part, 0) + weight.size
    counts["all"] = sum(counts.values())
    retention = bundle.sizes.retention
    memory = f", and remembers {retention[-1][0]:,}" if retention else ""
    hidden = ". It also predicts what is hidden" if bundle.sizes.layers == 2 else ""
    return [
        "## Size",
        "",
        *table(("part", "weights"), [(name, f"{count / 1e6:.2f} M") for name, count in counts.items()]),
        f"Latents {' x '.join(map(str, bundle.sizes.latents))}; it sees {bundle.sizes.window} frames back"
        f"{memory}{hidden}. "
        f"Weights `{bundle.digest[:12]}`.",
        "",
    ]


def verdict_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """Targets, reached or missed, as Markdown."""
    rows = [(v.label, v.reached, v.wanted, "met" if v.met else "**missed**") for v in verdicts]
    return ["## Targets", "", *table(("figure", "reached", "wanted", ""), rows)]


def report_lines(report: Report) -> list[str]:
    """How a report came about, and its figures, as Markdown."""
    facts = report.facts
    machine = f"; {facts['machine']}" if "machine" in facts else ""
    lines = [f"`{facts['command']}`, {facts['date']}{machine}.", ""]
    if "recording" in facts:
        lines += [f"Recording: {facts['recording']}.", ""]
    for section in report.sections:
        lines += [f"### {section.title}", "", section.method, ""]
        rows = [(figure.label, figure.text(), figure.reference) for figure in section.figures]
        lines += table(("figure", "value", "reference"), rows)
        lines += [line for note in section.notes for line in (note, "")]
    return lines


def table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """A Markdown table; nothing without rows."""
    if not rows:
        return []
    cells = [columns, ("---",) * len(columns), *rows]
    return [*("| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in cells), ""]
