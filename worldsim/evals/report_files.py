"""Writes a report into a folder: its JSON, its page, its film strips and figures.json."""

from __future__ import annotations

from pathlib import Path

from worldsim.evals import figures, html
from worldsim.evals.files import json_bytes, write_files
from worldsim.evals.plots import film
from worldsim.evals.report import Report, strip_file, to_json


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write all files of a report; the paths of those for reading.

    Raises:
        WorldsimError: if they can't be written, or a package is missing.
    """
    strips = {
        strip_file(report.kind, section.name, i): film(strip)
        for section in report.sections
        for i, strip in enumerate(section.strips)
    }
    write_files(folder, strips)
    files = {
        f"{report.kind}.html": html.render(report).encode(),
        figures.FIGURES: json_bytes(figures.merged(report, folder)),
        f"{report.kind}.json": json_bytes(to_json(report)),
    }
    return write_files(folder, files)
