"""A world's own judge: what only this world can be asked, measured by code that lies beside the world.

Where the exact state is more than places and headings, such as Crafter's tiles and inventory, a world brings a function
of what is here that returns a section of the report. This module knows no world.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

from worldsim.evals.core import Codec, ProgressCallback
from worldsim.evals.generated import SessionSimulator
from worldsim.evals.scenes import RecordingSplit
from worldsim.evals.section import Section


class Judged(NamedTuple):
    """A generated world, and what its own judge may compare it with.

    Attributes:
        simulator: the generated world. codec: its encoder and decoder.
        split: held-out play.
        env: the real world; None where it can't be played.
        scenes: how many scenes to judge.
        window: past frames that the world attends to besides its memory.
        seed: of the scenes and of the noise.
        progress: opens a progress bar, given a title and a total.
    """

    simulator: SessionSimulator
    codec: Codec
    split: RecordingSplit
    env: Any
    scenes: int
    window: int
    seed: int
    progress: Callable[[str, int], contextlib.AbstractContextManager[ProgressCallback]]


WorldJudge = Callable[[Judged], Section]
