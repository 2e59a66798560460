"""Reports: the sections of a run as tables on the terminal, a JSON file and one HTML page. Measures nothing."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from worldsim.errors import WorldsimError, require
from worldsim.evals.probes import Target
from worldsim.evals.section import Curves, Figure, Section, Stack, Strip, Table, number

FORMAT = 1
MOST_INSIDE = 5  # lines that a legend inside a plot has room for
PARTS = (
    "#4dab9a",
    "#529cca",
    "#b9b7b2",
    "#9a6dd7",
    "#e255a1",
    "#ffa344",
    "#e03e3e",
    "#64473a",
    "#37352f",
    "#787774",
    "#c9b458",
)
COLOURS = ("#0b6e99", "#d9730d", "#0f7b6c", "#9a6dd7", "#787774", "#e03e3e", "#c14c8a", "#8c6d31", "#b5b5b5")
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<style>
 body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; color: #222; }
 table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .2rem .8rem; text-align: right; }
 th:first-child, td:first-child { text-align: left; } tr { border-bottom: 1px solid #ddd; }
 caption { text-align: left; font-weight: 600; }
 .note { color: #777; } .missed { color: #c00; } .met { color: #087f5b; }
 .plots { display: flex; flex-wrap: wrap; gap: 1rem; } img { max-width: 100%; }
 .strip { image-rendering: pixelated; width: 100%; }
</style></head><body>
<h1>{{ title }}</h1>
<p class="note">{% for name, value in facts.items() %}{{ name }}: {{ value }}<br>{% endfor %}</p>
{% if targets %}<table><caption>Targets</caption><tr><th>figure</th><th>reached</th><th>wanted</th><th></th></tr>
{% for t in targets %}<tr><td>{{ t.label }}</td><td>{{ t.reached }}</td><td>{{ t.wanted }}</td>
<td class="{{ 'met' if t.met else 'missed' }}">{{ 'met' if t.met else 'missed' }}</td></tr>{% endfor %}
</table>{% endif %}
{% for s in sections %}<h2>{{ s.title }}</h2><p>{{ s.method }}</p>
{% for note in s.notes %}<p class="note">{{ note }}</p>{% endfor %}
{% if s.figures %}<table><tr><th>figure</th><th>value</th><th>beside</th></tr>
{% for f in s.figures %}<tr><td>{{ f.label }}</td><td>{{ f.text() }}</td><td>{{ f.reference }}</td></tr>{% endfor %}
</table>{% endif %}
{% for t in s.tables %}<table><caption>{{ t.title }}</caption>
<tr>{% for c in t.columns %}<th>{{ c }}</th>{% endfor %}</tr>
{% for row in t.rows %}<tr>{% for v in row %}<td>{{ number(v) }}</td>{% endfor %}</tr>{% endfor %}</table>{% endfor %}
<div class="plots">{% for c in s.curves %}
<img alt="{{ c.title }}" src="data:image/png;base64,{{ plot(c) }}">{% endfor %}{% for c in s.stacks %}
<img alt="{{ c.title }}" src="data:image/png;base64,{{ stacked(c) }}">{% endfor %}</div>
{% for strip in s.strips %}<p>{{ strip.title }}
<span class="note">{{ strip.rows | join(' / ') }}; frames {{ strip.captions | join(' ') }}</span></p>
<img class="strip" alt="{{ strip.title }}" src="data:image/png;base64,{{ film(strip) }}">{% endfor %}
{% endfor %}</body></html>
"""


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
    """Everything that one command found.

    Attributes:
        kind: "eval" or "bench", the name of its files.
        title: for people. facts: who was judged, on what, by which command, when.
        sections: of the instruments. targets: those that this report can judge.
    """

    kind: str
    title: str
    facts: dict[str, str]
    sections: list[Section]
    targets: tuple[Target, ...] = ()

    @property
    def figures(self) -> dict[str, Figure]:
        """All figures by key."""
        return {figure.key: figure for section in self.sections for figure in section.figures}

    def verdicts(self) -> list[Verdict]:
        """Each target of a section in this report."""
        names = {section.name for section in self.sections}
        return [_verdict(t, self.figures.get(t.figure)) for t in self.targets if t.figure.split(".")[0] in names]


def needed() -> None:
    """Make sure that a report can be written, before hours are spent on what it would say.

    Raises:
        WorldsimError: if matplotlib or jinja2 is not installed.
    """
    require("matplotlib", "eval")
    require("jinja2", "eval")


def wide_console() -> Console:
    """A console for tables: the terminal's own width, and enough for them where there is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)


def show(report: Report, console: Console) -> None:
    """Print the report's figures, tables and targets."""
    console.print(f"\n[bold]{escape(report.title)}[/bold]")
    for section in report.sections:
        console.print(f"\n[bold]{escape(section.title)}[/bold]\n{escape(section.method)}", soft_wrap=True)
        for note in section.notes:
            console.print(f"[dim]{escape(note)}[/dim]")
        if section.figures:
            console.print(
                _rich(
                    Table(
                        "", ("figure", "value", "beside"), [(f.label, f.text(), f.reference) for f in section.figures]
                    )
                )
            )
        for table in section.tables:
            console.print(f"[dim]{escape(table.title)}[/dim]", soft_wrap=True)
            console.print(_rich(table))
    verdicts = report.verdicts()
    if verdicts:
        rows = [(v.label, v.reached, v.wanted, "met" if v.met else "MISSED") for v in verdicts]
        console.print("\n[bold]Targets[/bold]")
        console.print(_rich(Table("Targets", ("figure", "reached", "wanted", ""), rows)))


def write(report: Report, folder: Path) -> list[Path]:
    """Write `<kind>.json`, `<kind>.html` and the strips as `<kind>-strips/*.png`, each whole or not at all.

    Raises:
        WorldsimError: if they can't be written, or a package is missing.
    """
    page, data = folder / f"{report.kind}.html", folder / f"{report.kind}.json"
    strips = folder / f"{report.kind}-strips"
    with _writing(folder):
        strips.mkdir(parents=True, exist_ok=True)
        for section in report.sections:
            for i, strip in enumerate(section.strips):
                _replace(strips / f"{section.name}-{i}.png", film(strip))
        _replace(page, _page(report).encode())
        _replace(data, json.dumps(to_json(report), indent=1).encode())
    return [data, page]


def to_json(report: Report) -> dict[str, Any]:
    """The report without pictures, as plain JSON; what could not be measured is null."""
    return _plain(
        {
            "format": FORMAT,
            "kind": report.kind,
            "title": report.title,
            "facts": report.facts,
            "targets": [dataclasses.asdict(verdict) for verdict in report.verdicts()],
            "sections": [
                {
                    "name": s.name,
                    "title": s.title,
                    "method": s.method,
                    "notes": s.notes,
                    "figures": [dataclasses.asdict(f) for f in s.figures],
                    "tables": [dataclasses.asdict(t) for t in s.tables],
                    "curves": [dataclasses.asdict(c) for c in s.curves],
                    "stacks": [dataclasses.asdict(c) for c in s.stacks],
                    "strips": [
                        {"title": strip.title, "file": f"{report.kind}-strips/{s.name}-{i}.png"}
                        for i, strip in enumerate(s.strips)
                    ],
                }
                for s in report.sections
            ],
        }
    )


def film(strip: Strip, gap: int = 2) -> bytes:
    """A strip as PNG: its rows one under the other, a thin white line between frames."""
    rows = []
    for frames in strip.rows.values():
        padded = np.pad(frames, ((0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255)
        rows.append(np.concatenate(list(padded), axis=1))
    ok, data = cv2.imencode(".png", np.concatenate(rows)[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert ok
    return data.tobytes()


def plot(curves: Curves) -> bytes:
    """Curves as PNG, with bands where there are intervals."""
    canvas, axes = _canvas()
    for i, (name, line) in enumerate(curves.lines.items()):
        colour = COLOURS[i % len(COLOURS)]
        axes.plot(line[0], line[1], label=name, color=colour, marker="o" if len(line[0]) < 12 else None, markersize=3)
        if len(line) == 4:
            axes.fill_between(line[0], line[2], line[3], color=colour, alpha=0.15, linewidth=0)
    for i, (name, place) in enumerate(curves.marks.items()):
        axes.axvline(place, color="#787774", linestyle=(0, (4, 3)), linewidth=1)
        at = (place, 0.9 - 0.1 * i)
        axes.annotate(name, at, (3, 0), ("data", "axes fraction"), "offset points", fontsize=9, color="#37352f")
    if curves.log_x:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set(title=curves.title, xlabel=curves.x, ylabel=curves.y)
    axes.grid(alpha=0.3)
    if curves.y_range is not None:
        axes.set_ylim(*curves.y_range)
    if len(curves.lines) > MOST_INSIDE:
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    elif curves.lines:
        axes.legend(fontsize=7)
    return _png(canvas)


def stacked(stack: Stack) -> bytes:
    """Shares as PNG, one bar beside the other; the first part is green, the others are not."""
    canvas, axes = _canvas()
    below = np.zeros(len(stack.bars))
    for i, (name, shares) in enumerate(stack.parts.items()):
        if shares.any():  # the others keep their colours
            axes.bar(stack.bars, shares, bottom=below, label=name, color=PARTS[i % len(PARTS)], width=0.8)
            below = below + shares
    axes.set(title=stack.title, ylim=(0, 1))
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.tick_params(axis="x", labelsize=7)
    return _png(canvas)


def _canvas() -> tuple[Any, Any]:
    """An empty plot: the canvas and its axes."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(5.2, 3.2), dpi=100, layout="constrained")
    return canvas, canvas.subplots()


def _png(canvas: Any) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    picture = io.BytesIO()
    FigureCanvasAgg(canvas).print_png(picture)
    return picture.getvalue()


def _page(report: Report) -> str:
    needed()
    import jinja2

    def encode(data: bytes) -> str:
        return base64.b64encode(data).decode()

    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(PAGE)
    return template.render(
        title=report.title,
        facts=report.facts,
        sections=report.sections,
        targets=report.verdicts(),
        number=number,
        plot=lambda curves: encode(plot(curves)),
        stacked=lambda stack: encode(stacked(stack)),
        film=lambda strip: encode(film(strip)),
    )


def _verdict(target: Target, figure: Figure | None) -> Verdict:
    unit = figure.unit if figure else ""
    if target.least is not None:
        wanted = f"≥ {number(target.least, unit)}"
        met = figure is not None and figure.value >= target.least
    else:
        assert target.most is not None
        wanted = f"≤ {number(target.most, unit)}"
        met = figure is not None and figure.value <= target.most
    return Verdict(
        target.figure,
        figure.label if figure else target.figure,
        figure.text() if figure else "not measured",
        wanted,
        bool(met),
    )


def _rich(table: Table) -> RichTable:
    shown = RichTable(header_style="bold")
    for i, column in enumerate(table.columns):
        shown.add_column(column, justify="left" if i == 0 else "right")
    for row in table.rows:
        shown.add_row(*(number(value) for value in row))
    return shown


def _plain(value: Any) -> Any:
    """Numpy and tuples to JSON's own kinds; what is not finite to null."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turns what the disk says into the user's error."""
    try:
        yield
    except OSError as error:
        raise WorldsimError(
            f"can't write the report to {folder}: {error.strerror or error}. Give another --out."
        ) from error


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data)
    os.replace(partial, path)
