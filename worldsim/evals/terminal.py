"""A report in the terminal: its figures, tables and targets. Measures nothing.

Names in a report may come from files that others wrote, so no control character reaches the terminal.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from worldsim.evals.report import Report
from worldsim.evals.section import Section, Table, number

NO_TERMINAL_WIDTH = 160  # columns, where the output is no terminal


def wide_console() -> Console:
    """A console for tables: the terminal's own width, and enough for them where there is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=NO_TERMINAL_WIDTH)


def show(report: Report, console: Console) -> None:
    """Print the report's figures, tables and targets."""
    console.print()
    console.print(plain(report.title, "bold"))
    for section in report.sections:
        _show_section(section, console)
    if report.verdicts:
        rows = [(v.label, v.reached, v.wanted, "met" if v.met else "MISSED") for v in report.verdicts]
        console.print("\n[bold]Targets[/bold]")
        console.print(_rich(Table("Targets", ("figure", "reached", "wanted", ""), rows)))


def plain(value: Any, style: str = "") -> Text:
    """Text as it is, without markup; what is not printable is replaced."""
    return Text("".join(c if c.isprintable() else "\ufffd" for c in number(value)), style)


def _show_section(section: Section, console: Console) -> None:
    console.print()
    console.print(plain(section.title, "bold"))
    console.print(plain(section.method), soft_wrap=True)
    for note in section.notes:
        console.print(plain(note, "dim"))
    if section.figures:
        rows = [(f.label, f.text(), f.reference) for f in section.figures]
        console.print(_rich(Table("", ("figure", "value", "reference"), rows)))
    for table in section.tables:
        console.print(plain(table.title, "dim"), soft_wrap=True)
        console.print(_rich(table))


def _rich(table: Table) -> RichTable:
    shown = RichTable(header_style="bold")
    for i, column in enumerate(table.columns):
        shown.add_column(plain(column), justify="left" if i == 0 else "right")
    for row in table.rows:
        shown.add_row(*map(plain, row))
    return shown
