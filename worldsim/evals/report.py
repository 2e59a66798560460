"""Reports: the sections of one command with its targets, as files. Measures nothing, and draws nothing itself.

<kind>.json       all of it but the pictures, for `worldsim card`
<kind>.html       one page for people
<kind>-strips/    film strips as PNG
figures.json      every figure of every report in the folder by its key (see `figures.py`)
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.errors import require
from worldsim.evals.files import checking, typed
from worldsim.evals.probes import Target
from worldsim.evals.section import Figure, Section, number
from worldsim.safe_read import read_json

FORMAT = 1
NUMBER = (int, float, type(None))


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One target and what was reached; `met` is false where the figure could not be measured."""

    key: str
    label: str
    reached: str
    wanted: str
    met: bool


@dataclasses.dataclass(frozen=True)
class Report:
    """Everything that one command measured.

    Attributes:
        kind: "eval", "bench" or "permanence": the name of its files.
        title: for people. facts: what was measured, on what, by which command, when.
        sections: of the instruments. verdicts: on the targets that this report can decide.
    """

    kind: str
    title: str
    facts: dict[str, str]
    sections: list[Section]
    verdicts: Sequence[Verdict] = ()

    @property
    def figures(self) -> dict[str, Figure]:
        """All figures by key."""
        return {figure.key: figure for section in self.sections for figure in section.figures}


def check_packages() -> None:
    """Make sure that a report can be written, before hours are spent on measuring.

    Raises:
        WorldsimError: if matplotlib or jinja2 is not installed.
    """
    require("matplotlib", "eval")
    require("jinja2", "eval")


def judge_targets(targets: Sequence[Target], sections: Sequence[Section]) -> list[Verdict]:
    """A verdict on each target whose instrument has a section here."""
    names = {section.name for section in sections}
    figures = {figure.key: figure for section in sections for figure in section.figures}
    return [_verdict(t, figures.get(t.figure)) for t in targets if t.figure.split(".")[0] in names]


def to_json(report: Report) -> dict[str, Any]:
    """The report without pictures, as plain JSON; what could not be measured is null."""
    sections = [
        {
            "name": s.name,
            "title": s.title,
            "method": s.method,
            "notes": s.notes,
            **{
                part: [dataclasses.asdict(item) for item in getattr(s, part)]
                for part in ("figures", "tables", "curves", "stacks")
            },
            "strips": [strip.title for strip in s.strips],
        }
        for s in report.sections
    ]
    return plain_json(
        {
            "format": FORMAT,
            "kind": report.kind,
            "title": report.title,
            "facts": report.facts,
            "targets": [dataclasses.asdict(verdict) for verdict in report.verdicts],
            "sections": sections,
        }
    )


def read_report(path: Path, way_out: str) -> Report:
    """A report's facts, verdicts, and its sections with their figures and notes; not their tables and curves.

    Args:
        way_out: what to do where there is none, or it is broken; a sentence.

    Raises:
        WorldsimError: if it is missing, cut, or not what `to_json` made.
    """
    content = read_json(path, way_out)
    with checking(path, way_out):
        typed(content, {"kind": str, "title": str, "facts": dict, "targets": list, "sections": list})
        typed(content["facts"], dict.fromkeys(("weights", "command", "date"), str))
        typed(content["facts"], dict.fromkeys(content["facts"], str))
        verdicts = [_read_verdict(verdict) for verdict in content["targets"]]
        sections = [_read_section(section) for section in content["sections"]]
        return Report(content["kind"], content["title"], content["facts"], sections, verdicts)


def strip_file(kind: str, section: str, i: int) -> str:
    """Where a section's film strip is, from the report's folder."""
    return f"{kind}-strips/{section}-{i}.png"


def plain_json(value: Any) -> Any:
    """Numpy and tuples to JSON's own types; what is not finite to null."""
    if isinstance(value, dict):
        return {str(k): plain_json(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain_json(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain_json(value.tolist())
    if isinstance(value, np.generic):
        return plain_json(value.item())
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def _verdict(target: Target, figure: Figure | None) -> Verdict:
    unit = figure.unit if figure else ""
    if target.least is not None:
        wanted = f"≥ {number(target.least, unit)}"
        met = figure is not None and figure.value >= target.least
    else:
        assert target.most is not None
        wanted = f"≤ {number(target.most, unit)}"
        met = figure is not None and figure.value <= target.most
    label, reached = (figure.label, figure.text()) if figure else (target.figure, "not measured")
    return Verdict(target.figure, label, reached, wanted, bool(met))


def _read_verdict(content: Any) -> Verdict:
    fields: dict[str, type] = {"key": str, "label": str, "reached": str, "wanted": str, "met": bool}
    typed(_object(content), fields)
    return Verdict(*(content[name] for name in fields))


def _read_section(content: Any) -> Section:
    typed(_object(content), {"name": str, "title": str, "method": str, "notes": list, "figures": list})
    if not all(isinstance(note, str) for note in content["notes"]):
        raise ValueError(f"a note of section {content['name']!r} is no text")
    figures = [read_figure(figure) for figure in content["figures"]]
    return Section(content["name"], content["title"], content["method"], figures, notes=content["notes"])


def read_figure(content: Any) -> Figure:
    """A figure from JSON.

    Raises:
        ValueError: if it is none.
    """
    texts = ("key", "label", "unit", "reference", "shown")
    typed(_object(content), {**dict.fromkeys(texts, str), "value": NUMBER, "interval": (list, type(None))})
    typed(content, {"n": (int, type(None))})
    interval = content["interval"]
    if interval is not None:
        if len(interval) != 2:
            raise ValueError(f"the interval of {content['key']!r} is no pair")
        typed(dict(zip(("low", "high"), interval, strict=True)), {"low": NUMBER, "high": NUMBER})
    key, label, unit, reference, shown = (content[name] for name in texts)
    bounds = None if interval is None else (_nan(interval[0]), _nan(interval[1]))
    return Figure(key, label, _nan(content["value"]), unit, bounds, reference, content["n"], shown)


def _object(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f"a {type(content).__name__} stands where an object should")
    return content


def _nan(value: float | None) -> float:
    return math.nan if value is None else float(value)
