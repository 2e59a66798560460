"""figures.json: every figure of a world by its key, so that no number is copied by hand.

    {"format": 1, "figures": {"turn.returned": {"label": "...", "value": 0.83, "unit": "%", "n": 100,
        "interval": [0.74, 0.89], "reference": "...", "text": "83.0 % (74.0 … 89.0)",
        "report": "eval", "command": "worldsim eval ...", "date": "2026-11-24", "weights": "sha256 of the world"}}}

The unit "%" is a share, 0 … 1; `text` is the number as people read it; what could not be measured is null.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from worldsim.errors import WorldsimError
from worldsim.evals.report import Report, plain_json
from worldsim.safe_read import read_json

FORMAT = 1
FIGURES = "figures.json"


def entries(report: Report) -> dict[str, dict[str, Any]]:
    """The figures of one report by key, each with where it came from."""
    origin = {"report": report.kind, **{name: report.facts[name] for name in ("command", "date", "weights")}}
    found = {}
    for key, figure in report.figures.items():
        fields = {name: value for name, value in dataclasses.asdict(figure).items() if name not in ("key", "shown")}
        found[key] = plain_json({**fields, "text": figure.text(), **origin})
    return found


def merged(report: Report, folder: Path) -> dict[str, Any]:
    """The content of a folder's figures.json with a report's figures in it.

    Figures of other reports stay, as long as they are of the same weights; those of a file that is broken do not.
    """
    try:
        found = read_json(folder / FIGURES, "").get("figures")
    except WorldsimError:
        found = None
    others = {
        key: plain_json(figure)
        for key, figure in (found.items() if isinstance(found, dict) else ())
        if isinstance(figure, dict)
        and figure.get("report") != report.kind
        and figure.get("weights") == report.facts["weights"]
    }
    return {"format": FORMAT, "figures": {**others, **entries(report)}}
