"""A moment of play as it is kept: a state of the session, its frame packed, and what led there. Knows no window.

Frames make up most of a state and shrink to a tenth without loss; so ten minutes of play take less than 500 MB.
"""

from __future__ import annotations

import dataclasses
import zlib

import numpy as np

from worldsim.runtime.session import State
from worldsim.viewer.twin import TwinMoment

LEVEL = 1  # of compression: a tenth of a millisecond a frame
OBJECTS = 2000  # bytes of what Python needs for a moment besides its arrays


@dataclasses.dataclass(frozen=True, eq=False)
class Moment:
    """A moment of play; made by `packed`.

    Attributes:
        start: number of the start that play began at; None for frames from elsewhere.
        action: index of the action that led here; None at the beginning.
        reward: sum of rewards since the beginning.
        ended: the world has ended, with this frame or an earlier one.
        drift: how far from the training frames, as a multiple of what real frames are; None before it was measured.
        filmed: number of its frame in the film, if it was filmed.
        twin: the real game at this moment, if it is played beside.
    """

    bare: State
    data: bytes
    shape: tuple[int, ...]
    start: int | None
    action: int | None = None
    reward: float = 0.0
    ended: bool = False
    drift: float | None = None
    filmed: int | None = None
    twin: TwinMoment | None = None

    @classmethod
    def packed(cls, state: State, start: int | None) -> Moment:
        """The moment of a state of one row; the other attributes are `dataclasses.replace`d."""
        bare = dataclasses.replace(state, frame=np.zeros((1, 0, 0, 3), np.uint8))
        return cls(bare, zlib.compress(state.frame.tobytes(), LEVEL), state.frame.shape, start)

    @property
    def state(self) -> State:
        """The state, bit for bit as it was."""
        return dataclasses.replace(self.bare, frame=self.frame[None])

    @property
    def frame(self) -> np.ndarray:
        """uint8 `[H, W, 3]`."""
        return np.frombuffer(zlib.decompress(self.data), np.uint8).reshape(self.shape)[0]

    @property
    def index(self) -> int:
        """Frames generated since the beginning of play."""
        return int(self.bare.index[0])

    @property
    def uncertainty(self) -> float:
        """How undecided the world was about the frame (see `State`)."""
        return float(self.bare.uncertainty[0])

    @property
    def nbytes(self) -> int:
        """Bytes that this moment adds to those of the one before, with which it shares all older entries."""
        own = (*self.bare.entries[-1:], *self.bare.memory[-1:], self.bare.latents)
        references = 8 * (len(self.bare.entries) + len(self.bare.memory) + len(self.bare.poses))
        beside = self.twin.nbytes if self.twin else 0
        return OBJECTS + len(self.data) + references + beside + sum(array.nbytes for array in own)
