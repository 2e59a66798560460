"""What was played, to go back to: a line of moments, the one shown, and other lines that were left. Not thread-safe.

    history.begin(a); history.append(b); history.append(c); history.seek(1)      # shows b
    history.append(d)                       # the line is a, b, d; the line a, b, c is a branch
    history.switch()                        # shows c again; a, b, d is a branch

Moments are values of any kind. Lines share them, so a branch costs no more than what it has of its own.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from worldsim.runtime.session import State

Moment = TypeVar("Moment")
SECONDS = 600.0  # that can be gone back
MOST_BYTES = 512 * 2**20
MOST_BRANCHES = 8


def most_moments(state: State, fps: float) -> int:
    """How many moments of a world to keep: ten minutes of them, or fewer if they would take more than `MOST_BYTES`.

    Args:
        state: any of the world; the next one shares all but the newest entry, latents and frame with it.
        fps: of the world.
    """
    own = (*state.entries[-1:], *state.memory[-1:], state.latents, state.frame)
    return max(1, min(round(SECONDS * fps), MOST_BYTES // sum(array.nbytes for array in own)))


class History(Generic[Moment]):
    """Lines of moments, oldest first; of all lines together, the `limit` newest moments are kept.

    Attributes:
        position: of the moment shown, from the oldest one kept of its line.
    """

    def __init__(self, limit: int):
        self.position = -1
        self._limit, self._made = limit, 0
        self._line: deque[tuple[int, Moment]] = deque()  # with the number of each in order of making
        self._branches: deque[deque[tuple[int, Moment]]] = deque(maxlen=MOST_BRANCHES)  # the latest left one last

    def __len__(self) -> int:
        """Moments of the line shown."""
        return len(self._line)

    @property
    def now(self) -> Moment:
        """The moment shown."""
        return self._line[self.position][1]

    @property
    def branches(self) -> int:
        """How many other lines can be returned to."""
        return len(self._branches)

    def begin(self, moment: Moment) -> None:
        """Start another line; the one shown becomes a branch."""
        if self._line:
            self._branches.append(self._line)
        self._line = deque()
        self._add(moment)

    def append(self, moment: Moment) -> None:
        """Go on after the moment shown. If others came after it, the line with them becomes a branch."""
        if self.position < len(self._line) - 1:
            self._branches.append(self._line)
            self._line = deque(list(self._line)[: self.position + 1])
        self._add(moment)

    def seek(self, position: int) -> None:
        """Show another moment of the line, or the nearest there is."""
        self.position = min(max(position, 0), len(self._line) - 1)

    def switch(self) -> None:
        """Show the end of the line that was left last; doing so again comes round to the line shown now."""
        if self._branches:
            left, self._line = self._line, self._branches.pop()
            self._branches.appendleft(left)
            self.position = len(self._line) - 1

    def _add(self, moment: Moment) -> None:
        self._made += 1
        self._line.append((self._made, moment))
        for line in (self._line, *self._branches):
            while line and line[0][0] <= self._made - self._limit:
                line.popleft()
        self._branches = deque(filter(None, self._branches), MOST_BRANCHES)
        self.position = len(self._line) - 1
