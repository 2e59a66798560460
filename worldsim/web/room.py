"""A room: one world and all plays of it. Every tick, whoever is due is shared out among the workers, and each of them
makes one batched step. Knows no network."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor

import numpy as np

from worldsim.runtime.bundle import Bundle
from worldsim.runtime.session import Session, State
from worldsim.web.metrics import Metrics
from worldsim.web.play import Moment, Play, Seat
from worldsim.web.site import picture

LIVE = 1  # compression of PNG: at the highest a frame takes eight times as long, and is 5 % smaller
log = logging.getLogger(__name__)


class Room:
    """One world for any number of plays.

    Args:
        bundle, session: the world, and it ready to run.
        executor: where steps are made.
        workers: how many of them at once.
        metrics: where frames and times are counted.
        show: is called with each play that got a frame, the stamps of its seats' keys and the milliseconds it took.
    """

    def __init__(
        self,
        bundle: Bundle,
        session: Session,
        executor: Executor,
        workers: int,
        metrics: Metrics,
        show: Callable[[Play, Mapping[Seat, float], float], None],
    ):
        self.bundle, self.spec, self.plays = bundle, bundle.spec, set[Play]()
        self._session, self._executor, self._metrics, self._show = session, executor, metrics, show
        self._workers, self._awake = workers, asyncio.Event()
        self._beginnings: dict[int, Moment] = {}

    def beginning(self, start: int, seed: int) -> Moment:
        """The moment at a start. Takes a while the first time."""
        if start not in self._beginnings:
            state = self._session.start([start], [0])
            self._beginnings[start] = Moment(state, picture(state.frame[0]))
        moment = self._beginnings[start]
        return dataclasses.replace(moment, state=dataclasses.replace(moment.state, seed=np.array([seed], np.uint64)))

    def wake(self) -> None:
        """Somebody may be due."""
        self._awake.set()

    async def run(self) -> None:
        """Make frames until cancelled. Replays use what time a tick leaves."""
        clock, interval = asyncio.get_running_loop().time, 1 / self.spec.fps
        due = clock()
        while True:
            wanting = [play for play in self.plays if play.wants_frame]
            if not wanting:
                self._awake.clear()
                await self._awake.wait()
                due = clock()
                continue
            await self._advance(wanting)
            due = max(due + interval, clock())
            while clock() < due and (replaying := [p for p in self.plays if p.script and p.wants_frame]):
                await self._advance(replaying)
            await asyncio.sleep(due - clock())

    async def _advance(self, plays: Sequence[Play]) -> None:
        # One thread a batch: two batches side by side take 0.75 times as long as one that two threads share.
        shares = [plays[first :: self._workers] for first in range(min(self._workers, len(plays)))]
        await asyncio.gather(*map(self._advance_batch, shares))

    async def _advance_batch(self, plays: Sequence[Play]) -> None:
        moments = [play.now for play in plays]
        taken = [play.next_action() for play in plays]
        actions = [action for action, _ in taken]
        began = time.perf_counter()
        step = functools.partial(self._step, [moment.state for moment in moments], actions)
        try:
            made = await asyncio.get_running_loop().run_in_executor(self._executor, step)
        except Exception:
            log.exception("a step of %s failed; its %d plays are paused", self.spec.name, len(plays))
            for play in plays:
                play.pause()
            return
        seconds = time.perf_counter() - began
        self._metrics.add("steps_total", world=self.spec.name)
        self._metrics.add("step_seconds_total", seconds, world=self.spec.name)
        self._metrics.add("frames_total", len(plays), world=self.spec.name)
        for play, before, (action, stamps), moment in zip(plays, moments, taken, made, strict=True):
            if play in self.plays and play.advance(before, action, moment):
                self._show(play, stamps, 1e3 * seconds)

    def _step(self, states: list[State], actions: list[int]) -> list[Moment]:
        state, seen = self._session.step(self._session.stack(states), np.array(actions))
        facts = zip(self._session.split(state), seen.frame, seen.reward, seen.ended, strict=True)
        return [Moment(row, picture(frame, LIVE), float(reward), bool(ended)) for row, frame, reward, ended in facts]
