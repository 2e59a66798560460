"""What the commands that measure share: progress bars, the facts of a run, and where its report goes."""

from __future__ import annotations

import contextlib
import datetime
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from worldsim.evals.core import ProgressCallback
from worldsim.evals.report import Report
from worldsim.evals.report_files import write_report
from worldsim.evals.terminal import plain, show, wide_console
from worldsim.progress import ProgressBar
from worldsim.runtime.bundle import Bundle


@contextlib.contextmanager
def progress(title: str, total: int) -> Iterator[ProgressCallback]:
    """A progress bar, and the callback that moves it."""
    with ProgressBar(title, total) as bar:
        done = 0

        def on_progress(count: int) -> None:
            nonlocal done
            done += count
            bar.update(done)

        yield on_progress


def report_facts(bundle: Bundle, command: str, world: str) -> dict[str, str]:
    """What was measured, by which command line, and when."""
    typed = sys.argv[1:] if sys.argv[1:2] == [command] else [command, world]
    return {
        "world": f"{bundle.spec.name}, {bundle.spec.width}x{bundle.spec.height}",
        "weights": bundle.digest,
        "command": shlex.join(["worldsim", *typed]),
        "date": datetime.date.today().isoformat(),
    }


def report_folder(out: Path | None, name: str) -> Path:
    """The folder that was asked for, or one below `reports/` for a name from a file, whatever is in it."""
    slug = re.sub(r"[^\w.-]+", "-", name).strip(".-") or "world"
    return out or Path("reports") / slug


def publish(report: Report, folder: Path) -> None:
    """Print a report and write its files.

    Raises:
        WorldsimError: if they can't be written.
    """
    console = wide_console()
    show(report, console)
    say_written(write_report(report, folder), console)


def say_written(paths: list[Path], console: Console) -> None:
    """A line for each file."""
    for path in paths:
        console.print(plain(f"wrote {path}"), soft_wrap=True)
