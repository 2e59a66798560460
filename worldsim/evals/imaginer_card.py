"""An imaginer's card: what it draws, where it comes from and what was measured of it. Measures nothing."""

from __future__ import annotations

from typing import Any

from worldsim.evals.card import FORMAT, report_lines, table, verdict_lines
from worldsim.evals.figures import entries
from worldsim.evals.report import Report
from worldsim.runtime.imaginer import ImaginerBundle


def card_json(imaginer: ImaginerBundle, report: Report | None) -> dict[str, Any]:
    """The card for programs. Arguments as for `card_markdown`."""
    return {
        "format": FORMAT,
        "worlds": list(imaginer.worlds),
        "weights": imaginer.digest,
        "figures": entries(report) if report else {},
    }


def card_markdown(imaginer: ImaginerBundle, report: Report | None) -> str:
    """The card for people.

    Args:
        imaginer: as it was exported.
        report: of `worldsim eval imagine` on the run that it was exported from; None if nothing was measured.
    """
    counts: dict[str, int] = {}
    for name, weight in imaginer.weights().items():
        part = ".".join(name.split(".")[:2]) if name.startswith(("autoencoder.", "dit.text.")) else name.split(".")[0]
        counts[part] = counts.get(part, 0) + weight.size
    counts["all"] = sum(counts.values())
    draws = ", ".join(f"{world} at {size.name}" for world, size in imaginer.worlds.items())
    lines = [
        f"# Imaginer of {', '.join(imaginer.worlds)}",
        "",
        f"Turns words, pictures and clips into pictures and clips of {draws}, or of other sizes. Step into one: "
        '`python play.py --prompt "..."`.',
        "",
        "## Where it comes from",
        "",
        *(f"- {name}: {value}" for name, value in imaginer.origin.items()),
        "",
        "## Size",
        "",
        *table(("part", "weights"), [(name, f"{count / 1e6:.2f} M") for name, count in counts.items()]),
        f"It knows {len(imaginer.configs['dit']['text']['words']):,} words. Weights `{imaginer.digest[:12]}`.",
        "",
    ]
    if report is None:
        return "\n".join([*lines, "Nothing was measured yet: `worldsim eval imagine`.", ""])
    return (
        "\n".join(
            [
                *lines,
                *(verdict_lines(report.verdicts) if report.verdicts else []),
                "## Figures",
                "",
                *report_lines(report),
            ]
        ).rstrip()
        + "\n"
    )
