"""What the server counts, in Prometheus's text format. Knows nothing of what the numbers mean."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

HELP = {
    "frames_total": "Frames generated, by world.",
    "dropped_frames_total": "Frames that a slow client did not get.",
    "steps_total": "Batched steps, by world.",
    "step_seconds_total": "Time spent in batched steps, by world.",
    "refused_total": "Connections and messages refused, by reason.",
    "players": "Players of each world.",
    "waiting": "Visitors in the waiting line.",
    "connections": "Open connections.",
    "memory_bytes": "Memory of the server's process; 0 where the system does not tell.",
}
Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counters that only rise; gauges are handed to `text`."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, Labels]] = Counter()

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Let a counter of `HELP` rise."""
        self._counts[name, tuple(sorted(labels.items()))] += amount  # type: ignore[assignment]

    def text(self, gauges: Mapping[tuple[str, Labels], float]) -> str:
        """All of it, as Prometheus reads it."""
        values = {**self._counts, **gauges}
        lines = []
        for name, meaning in HELP.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# HELP worldsim_{name} {meaning}", f"# TYPE worldsim_{name} {kind}"]
            for (other, labels), value in sorted(values.items()):
                if other == name:
                    named = ",".join(f'{key}="{text}"' for key, text in labels)
                    lines.append(f"worldsim_{name}{{{named}}} {value:g}" if named else f"worldsim_{name} {value:g}")
        return "\n".join(lines) + "\n"


def memory_bytes(process: int | str = "self") -> int:
    """Resident memory of a process, by default this one; 0 where the system does not tell."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
