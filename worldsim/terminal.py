"""What is printed: names and texts that come from files can neither command the terminal nor break its encoding."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import TextIO

from rich.console import Console


def printable(text: object) -> str:
    """A text with its control characters, and what no encoding has, written out: ESC as `\\x1b`. Lines stay lines."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in str(text))


def console(stderr: bool = False) -> Console:
    """Where results, or with `stderr` progress, are printed; square brackets in them are no markup."""
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def bar(share: float, width: int = 40, stream: TextIO | None = None) -> str:
    """A bar for a share of 0 to 1, of blocks where the encoding has them and of `#` where not."""
    return _character("█", "#", stream or sys.stdout) * round(share * width)


def use_any_encoding() -> None:
    """Print `?` for what the encoding of the output lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _character(wanted: str, otherwise: str, stream: TextIO) -> str:
    with contextlib.suppress(UnicodeEncodeError, LookupError):
        wanted.encode(stream.encoding or "ascii")
        return wanted
    return otherwise
