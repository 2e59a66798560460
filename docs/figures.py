"""The measured figures of the shipped worlds as Markdown tables, read from their cards' JSON.

    python docs/figures.py --check     # fails if README's table differs from the cards
    python docs/figures.py --write     # writes README's table

Measures nothing. `worldsim/worlds/NAME/card.json` holds {"figures": {key: {"value", "unit", "label", "text"}}}, where
`text` is the value with its interval.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from worldsim.errors import WorldsimError
from worldsim.evals.section import number

ROOT = Path(__file__).parent.parent
WORLDS = ROOT / "worldsim" / "worlds"
README = ROOT / "README.md"
BEGIN, END = "<!-- figures: begin -->\n", "<!-- figures: end -->"


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure of all worlds.

    Attributes:
        key: of the figure. label: its text in the table.
        ceiling: figure that the same instrument reaches on real frames. Below half, the instrument cannot read this
            world, and its figure is left out.
    """

    key: str
    label: str
    ceiling: str = ""


SUMMARY = (
    Row("fidelity.codec_psnr", "autoencoder PSNR"),
    Row("fidelity.free_psnr_16", "free-running PSNR after 16 frames"),
    Row("actions.agreement_of_ceiling", "actions followed, relative to real frames", "actions.agreement_ceiling"),
    Row("drift.collapsed", "collapsed frames in long free runs"),
    Row("P3.right_64", "objects correct after 64 frames out of view"),
    Row("bench.fps_batch_1", "generated frames a second, two CPU cores"),
    Row("bench.p95_ms_batch_1", "95th percentile of a frame's time"),
    Row("bench.size_mb", "size on disk"),
)


@dataclasses.dataclass(frozen=True)
class Card:
    """What was measured of one world: `figures` by key."""

    name: str
    title: str
    figures: dict[str, dict[str, Any]]

    def text(self, key: str) -> str:
        """A figure for people; a dash where it was not measured."""
        figure = self.figures.get(key)
        if figure is None or figure["value"] is None:
            return "-"
        return number(figure["value"], figure["unit"])

    def row(self, row: Row) -> str:
        """This world's cell of `row`."""
        ceiling = self.figures.get(row.ceiling)
        readable = ceiling is None or ceiling["value"] is None or ceiling["value"] >= 0.5
        return self.text(row.key) if readable else "-"


def read_cards(worlds: Path = WORLDS) -> list[Card]:
    """The cards of all worlds in a folder, by name.

    Raises:
        WorldsimError: if a world has no card.json, or one that is not a card.
    """
    cards = []
    for folder in sorted(path.parent for path in worlds.glob("*/world.json")):
        path = folder / "card.json"
        try:
            figures = json.loads(path.read_text("utf-8"))["figures"]
            for figure in figures.values():
                figure["value"], figure["unit"], figure["label"]
        except FileNotFoundError as error:
            raise WorldsimError(f"no {path}. Run: worldsim card {folder.name}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise WorldsimError(f"{path} is not a card ({error!r}). Run: worldsim card {folder.name}") from error
        spec = json.loads((folder / "world.json").read_text("utf-8"))["spec"]
        cards.append(Card(folder.name, spec.get("title") or folder.name, figures))
    return cards


def summary(cards: list[Card]) -> str:
    """The short table: a row a figure, a column a world.

    Raises:
        WorldsimError: if no card has a figure of a row.
    """
    for row in SUMMARY:
        if not any(row.key in card.figures for card in cards):
            raise WorldsimError(f"no card has the figure {row.key!r}; rename it in SUMMARY of {__file__}")
    return _table(
        ["", *(card.title for card in cards)],
        [[row.label, *(card.row(row) for card in cards)] for row in SUMMARY],
    )


def everything(cards: list[Card]) -> str:
    """All figures of all worlds, a table a world."""
    parts = []
    for card in cards:
        rows = [
            [f"`{key}`", figure["label"], figure.get("text") or card.text(key)] for key, figure in card.figures.items()
        ]
        link = f"How each was measured: [card](../worldsim/worlds/{card.name}/card.md)."
        parts.append(f"## {card.title}\n\n{link}\n\n{_table(['key', 'figure', 'value'], rows)}")
    return "\n".join(parts)


def with_summary(page: str, cards: list[Card]) -> str:
    """`page` with the table between its two marks as the cards have it.

    Raises:
        WorldsimError: if the page has no such marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise WorldsimError(f"the page lacks the lines {BEGIN.strip()!r} and {END!r}")
    return before + begin + summary(cards) + end + after


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |\n" for line in lines)


def main() -> int:
    """Check or write README's table. Returns 0, 1 if it differs, or 2 if a card cannot be read."""
    parser = argparse.ArgumentParser(description="README's table of figures, from the cards' JSON.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="fail if the table differs from the cards")
    action.add_argument("--write", action="store_true", help="write the table")
    chosen = parser.parse_args()
    try:
        page = README.read_text("utf-8")
        wanted = with_summary(page, read_cards())
    except WorldsimError as error:
        print(f"figures: {error}", file=sys.stderr)
        return 2
    if chosen.write:
        README.write_text(wanted, "utf-8")
    elif page != wanted:
        print("README.md's table is not what the cards say. Run: python docs/figures.py --write", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
