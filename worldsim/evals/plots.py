"""Film strips and plots as PNG. Knows matplotlib, and nothing of what is plotted."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from worldsim.evals.section import Curves, Stack, Strip
from worldsim.png import encode_png

MOST_INSIDE = 5  # lines that fit into a legend inside a plot
PART_COLOURS = (
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
LINE_COLOURS = ("#0b6e99", "#d9730d", "#0f7b6c", "#9a6dd7", "#787774", "#e03e3e", "#c14c8a", "#8c6d31", "#b5b5b5")


def film(strip: Strip, gap: int = 2) -> bytes:
    """A strip as PNG: its rows one under the other, a thin white line between frames."""
    rows = []
    for frames in strip.rows.values():
        padded = np.pad(frames, ((0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255)
        rows.append(np.concatenate(list(padded), axis=1))
    return encode_png(np.concatenate(rows))


def plot(curves: Curves) -> bytes:
    """Curves as PNG, with bands where there are intervals."""
    canvas, axes = _canvas()
    for i, (name, line) in enumerate(curves.lines.items()):
        colour = LINE_COLOURS[i % len(LINE_COLOURS)]
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
    """Stacked bars as PNG; the first part is green."""
    canvas, axes = _canvas()
    below = np.zeros(len(stack.bars))
    for i, (name, shares) in enumerate(stack.parts.items()):
        if shares.any():  # the others keep their colours
            axes.bar(stack.bars, shares, bottom=below, label=name, color=PART_COLOURS[i % len(PART_COLOURS)], width=0.8)
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
