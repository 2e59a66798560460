"""A room: one world and all who play it. Every tick makes one batched step for whoever is due. Knows no network."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

import numpy as np

from worldsim.runtime.bundle import Bundle
from worldsim.runtime.session import Session, State
from worldsim.web.metrics import Metrics
from worldsim.web.player import Moment, Player
from worldsim.web.site import picture

log = logging.getLogger(__name__)


class Room:
    """One world for any number of players.

    Args:
        bundle, session: the world, and it ready to run.
        executor: where steps are made; of one thread, so that worlds take turns.
        metrics: where frames and times are counted.
        show: is called with each player who got a frame, the stamp of its keys and the milliseconds it took.
    """

    def __init__(
        self,
        bundle: Bundle,
        session: Session,
        executor: Executor,
        metrics: Metrics,
        show: Callable[[Player, float, float], None],
    ):
        self.bundle, self.spec, self.players = bundle, bundle.spec, set[Player]()
        self._session, self._executor, self._metrics, self._show = session, executor, metrics, show
        self._awake = asyncio.Event()
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
            wanting = [player for player in self.players if player.wants_frame]
            if not wanting:
                self._awake.clear()
                await self._awake.wait()
                due = clock()
                continue
            await self._advance(wanting)
            due = max(due + interval, clock())
            while clock() < due and (replaying := [p for p in self.players if p.script and p.wants_frame]):
                await self._advance(replaying)
            await asyncio.sleep(due - clock())

    async def _advance(self, players: Sequence[Player]) -> None:
        moments = [player.now for player in players]
        taken = [player.next_action() for player in players]
        actions = [action for action, _ in taken]
        began = time.perf_counter()
        step = functools.partial(self._step, [moment.state for moment in moments], actions)
        try:
            made = await asyncio.get_running_loop().run_in_executor(self._executor, step)
        except Exception:
            log.exception("a step of %s failed; its %d players are paused", self.spec.name, len(players))
            for player in players:
                player.command({"do": "pause"})
            return
        seconds = time.perf_counter() - began
        self._metrics.add("steps_total", world=self.spec.name)
        self._metrics.add("step_seconds_total", seconds, world=self.spec.name)
        self._metrics.add("frames_total", len(players), world=self.spec.name)
        for player, before, (action, stamp), moment in zip(players, moments, taken, made, strict=True):
            if player in self.players and player.advance(before, action, moment):
                self._show(player, stamp, 1e3 * seconds)

    def _step(self, states: list[State], actions: list[int]) -> list[Moment]:
        state, seen = self._session.step(self._session.stack(states), np.array(actions))
        facts = zip(self._session.split(state), seen.frame, seen.reward, seen.ended, strict=True)
        return [Moment(row, picture(frame), float(reward), bool(ended)) for row, frame, reward, ended in facts]
