"""The progress of a long command: a bar in a terminal, a line a minute in a log.

It shows what is done, how far it is, how fast it goes and the time left. It knows nothing of the work itself.
"""

from __future__ import annotations

import time
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from worldsim.terminal import console, printable

LOG_EVERY = 60.0  # seconds


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{_figure(speed)}/s")


class ProgressBar:
    """Use it as a context manager and call `update` with how much is done.

    Args:
        title: what is being done.
        total: how much there is to do.
        done: how much was done before.
    """

    def __init__(self, title: str, total: int, done: int = 0):
        self._title, self._total, self._done = printable(title), total, done
        self._console = console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            _Speed(),
            TimeRemainingColumn(),
            console=self._console,
            speed_estimate_period=120,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(self._title, total=total, completed=done)

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        self._logged = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, done: int, note: str = "") -> None:
        """Show that `done` of `total` is done; `note` is shown beside the title."""
        title = f"{self._title} {printable(note)}".strip()
        self._bar.update(self._task, completed=min(done, self._total), description=title)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._logged >= LOG_EVERY:
            speed = (done - self._done) / (now - self._logged)  # of late: the first steps may wait for a compiler
            self._logged, self._done = now, done
            left = (self._total - done) / max(speed, 1e-9)
            line = f"{title}: {done:,} of {self._total:,}, {_figure(speed)}/s, {left / 60:.0f} min left"
            self._console.print(line, soft_wrap=True)

    def say(self, line: str) -> None:
        """Print a line above the bar, at once."""
        self._console.print(f"{self._title}: {line}", soft_wrap=True)


def _figure(speed: float) -> str:
    return f"{speed:,.{0 if speed >= 10 else 1}f}"
