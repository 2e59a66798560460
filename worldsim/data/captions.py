"""A file of captions: what was said of a set of clips by somebody else than who recorded them. Knows no clips."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from worldsim import atomic
from worldsim.safe_read import read_json, reading

MOST_BYTES = 1 << 30  # of a file
WAY_OUT = "Write it again: worldsim caption."

Captions = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]
"""Of one clip: of the whole, and of its frames 0, 4, 8, ...; each has one or several, true by itself."""


def write_captions(path: Path, digest: str, captions: Sequence[Captions]) -> None:
    """Write captions of all clips of the set of that digest, in their order, whole or not at all."""
    told = [{"story": story, "moments": moments} for story, moments in captions]
    atomic.write_bytes(path, json.dumps({"clips": digest, "captions": told}).encode(), "Give another --out.")


def read_captions(path: Path, digest: str, moments: Sequence[int]) -> list[Captions]:
    """Captions of clips that have so many moments each, as `write_captions` wrote them.

    Raises:
        WorldsimError: if there is no such file, or it is of another set.
    """
    found = read_json(path, WAY_OUT, MOST_BYTES)
    with reading(path, WAY_OUT):
        captions = [
            (tuple(map(str, c["story"])), tuple(tuple(map(str, m)) for m in c["moments"])) for c in found["captions"]
        ]
        if found["clips"] != digest or [len(each) for _, each in captions] != list(moments):
            raise ValueError("it is of another set of clips")
        if not all(story and all(each) for story, each in captions):
            raise ValueError("a clip has no caption")
    return captions
