"""What was played, to go back to: a tree of lines of moments, the one shown, and bookmarks. Not thread-safe.

    history.begin(a, "a start"); history.append(b, 1); history.append(c, 1); history.seek(1)    # shows b
    history.append(d, 2)                    # the line is a, b, d; the line a, b, c is a branch
    history.switch()                        # shows c again; a, b, d is a branch

A line begins a play, or leaves another line after one of its moments, which both share. Of all lines together only the
newest moments are kept, but of each line that can be returned to, every action since the beginning of play: that is
what a save file holds. Moments are values of any kind.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Moment = TypeVar("Moment")
SECONDS = 600.0  # that can be gone back
MOST_BYTES = 460_000_000  # of moments; what else a player needs for ten minutes stays below 500 MB with them
MOST_BRANCHES = 8


class Line(Generic[Moment]):
    """Moments that followed each other, numbered from the beginning of play, which is moment 0.

    Attributes:
        beginning: what play began with.
        parent, fork: the line that this one leaves, and the number of the last moment that they share; None and -1 for
            one that begins a play.
        actions: of all moments after `fork`, but for moment 0, one a moment.
        first: the number of the oldest of its own moments that is kept.
    """

    def __init__(self, beginning: Any, parent: Line[Moment] | None = None, fork: int = -1):
        self.beginning, self.parent, self.fork = beginning, parent, fork
        self.actions = array("H")
        self.first = fork + 1
        self.kept: deque[tuple[int, Moment]] = deque()  # each with its number in order of making, of all lines

    @property
    def last(self) -> int:
        """The number of its newest moment."""
        return len(self.actions) + max(0, self.fork)

    def owner(self, number: int) -> Line[Moment]:
        """The line that moment `number` of this line was made in."""
        line = self
        while number <= line.fork:
            assert line.parent is not None
            line = line.parent
        return line


class History(Generic[Moment]):
    """Lines of moments.

    Args:
        limit: how many moments are kept, of all lines together.
        budget: bytes that they may take.
        weigh: bytes of a moment.

    Attributes:
        line: the one shown.
        forgets: whether lines that can't be returned to are dropped.
        marks: bookmarks, as lines and numbers of moments in them, in order of making.
    """

    def __init__(self, limit: int, budget: float = math.inf, weigh: Callable[[Moment], int] = lambda _: 0):
        self._limit, self._budget, self._weigh = limit, budget, weigh
        self._made = self._bytes = self._number = 0  # _number: of the moment shown
        self._sizes: deque[int] = deque()  # bytes of the newest moments made, kept or not
        self._line: Line[Moment] | None = None
        self._branches: deque[Line[Moment]] = deque()  # the latest left one last
        self.forgets = True
        self.marks: list[tuple[Line[Moment], int]] = []

    @property
    def line(self) -> Line[Moment]:
        """The line shown."""
        assert self._line is not None, "nothing was begun"
        return self._line

    @property
    def oldest(self) -> int:
        """The number of the oldest moment kept of the line shown."""
        line = self.line
        while line.first == line.fork + 1 and line.parent is not None and line.parent.first <= line.fork:
            line = line.parent
        return line.first

    @property
    def position(self) -> int:
        """Of the moment shown, from the oldest one kept of its line."""
        return self._number - self.oldest

    def __len__(self) -> int:
        """Moments kept of the line shown."""
        return self.line.last - self.oldest + 1

    @property
    def number(self) -> int:
        """Of the moment shown, counted from the beginning of play."""
        return self._number

    @property
    def now(self) -> Moment:
        """The moment shown."""
        owner = self.line.owner(self._number)
        return owner.kept[self._number - owner.first][1]

    @property
    def branches(self) -> list[Line[Moment]]:
        """Other lines that can be returned to, the latest left one last."""
        return list(self._branches)

    def begin(self, moment: Moment, beginning: Any = None) -> None:
        """Start another line; the one shown becomes a branch."""
        self._leave(Line(beginning))
        self._add(moment)

    def append(self, moment: Moment, action: int = 0) -> None:
        """Go on after the moment shown. If others came after it, the line with them becomes a branch."""
        if self._number < self.line.last:
            self.fork(self.line, self._number)
        self.line.actions.append(action)
        self._add(moment)

    def fork(self, line: Line[Moment], number: int) -> None:
        """Begin a line that leaves another one after a moment; to be followed by `append`."""
        owner = line.owner(number)
        self._leave(Line(owner.beginning, owner, number))
        self._number = number

    def seek(self, position: int) -> None:
        """Show another moment of the line, or the nearest there is."""
        self._number = min(max(position, 0), len(self) - 1) + self.oldest

    def switch(self) -> None:
        """Show the end of the line that was left last; doing so again comes round to the line shown now."""
        if self._branches:
            left, self._line = self.line, self._branches.pop()
            self._branches.appendleft(left)
            self._number = self.line.last

    def show(self, branch: Line[Moment]) -> None:
        """Show the end of a branch; the line shown now becomes one."""
        others = [line for line in (*self._branches, self.line) if line is not branch]
        self.arrange(branch, others, branch.last)

    def mark(self) -> bool:
        """Set a bookmark at the moment shown, or take it away; returns whether there is one now."""
        mark = self.line.owner(self._number), self._number
        if mark in self.marks:
            self.marks.remove(mark)
        else:
            self.marks.append(mark)
        return mark in self.marks

    def marked(self) -> list[int]:
        """Positions of the bookmarks in the line shown."""
        line, oldest = self.line, self.oldest
        numbers = {n for owner, n in self.marks if oldest <= n <= line.last and line.owner(n) is owner}
        return sorted(n - oldest for n in numbers)

    def jump(self) -> bool:
        """Show the next bookmark that is kept, of all lines in order of making; returns whether there is one."""
        here = self.line.owner(self._number), self._number
        after = self.marks.index(here) + 1 if here in self.marks else 0
        lines = (self.line, *self._branches)
        for owner, number in (*self.marks[after:], *self.marks[:after]):
            holding = [line for line in lines if number <= line.last and line.owner(number) is owner]
            if holding and owner.first <= number:
                self.arrange(holding[0], [line for line in lines[1:] + lines[:1] if line is not holding[0]], number)
                return True
        return False

    def recent(self, count: int) -> list[Moment]:
        """At most so many moments up to the one shown, oldest first."""
        numbers = range(max(self.oldest, self._number - count + 1), self._number + 1)
        owners = ((self.line.owner(number), number) for number in numbers)
        return [owner.kept[number - owner.first][1] for owner, number in owners]

    def path(self) -> list[int]:
        """The actions from the beginning of play to the moment shown."""
        actions: list[int] = []
        line, number = self.line.owner(self._number), self._number
        while True:
            actions[:0] = line.actions[: number - max(0, line.fork)]
            if line.parent is None:
                return actions
            line, number = line.parent, line.fork

    def lines(self) -> list[Line[Moment]]:
        """The line shown, all branches and the lines that they left, parents before children."""
        found: dict[Line[Moment], None] = {}
        for tip in (*self._branches, self.line):
            way: list[Line[Moment]] = []
            line: Line[Moment] | None = tip
            while line is not None and line not in found:
                way.append(line)
                line = line.parent
            found.update(dict.fromkeys(reversed(way)))
        return list(found)

    def arrange(self, line: Line[Moment], branches: list[Line[Moment]], number: int) -> None:
        """Show a moment of a line, or the nearest that is kept, and have these lines as branches."""
        self._line, self._branches = line, deque(branches)
        self._number = min(max(number, self.oldest), line.last)

    def _leave(self, line: Line[Moment]) -> None:
        """Have a new line shown, and the one that was as a branch."""
        if self._line is not None:
            self._branches.append(self._line)
        self._line = line
        while self.forgets and len(self._branches) > MOST_BRANCHES:
            self._forget(self._branches.popleft())

    def _forget(self, dropped: Line[Moment]) -> None:
        """Of a line that can't be returned to, keep what others share."""
        lines = self.lines()
        end = max((line.fork for line in lines if line.parent is dropped), default=-1)
        if end >= 0:
            del dropped.actions[end - max(0, dropped.fork) :]
            while dropped.kept and dropped.first + len(dropped.kept) - 1 > end:
                dropped.kept.pop()
        self.marks = [(line, number) for line, number in self.marks if line in lines and number <= line.last]

    def _add(self, moment: Moment) -> None:
        self._made += 1
        self._sizes.append(self._weigh(moment))
        self._bytes += self._sizes[-1]
        while len(self._sizes) > 1 and (len(self._sizes) > self._limit or self._bytes > self._budget):
            self._bytes -= self._sizes.popleft()
        line, too_old = self.line, self._made - len(self._sizes)
        line.kept.append((self._made, moment))
        self._number = line.last
        for each in self.lines():
            while each.kept and each.kept[0][0] <= too_old:
                each.kept.popleft()
                each.first += 1
        for branch in [branch for branch in self._branches if self.forgets and not branch.kept]:
            self._branches.remove(branch)
            self._forget(branch)
