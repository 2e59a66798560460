"""The real game beside the generated one, under the same keys, and how far the two are apart. Knows no window.

The generated world is shown real frames first, those of the beginning of an episode that a policy plays, and both go on
from there. A game that can be saved goes back with the player; one that can't stays behind when time is turned back.
"""

from __future__ import annotations

import dataclasses
import zlib
from typing import Any

import numpy as np

from worldsim.errors import WorldsimError
from worldsim.evals.metrics import psnr
from worldsim.runtime.savefile import Beginning
from worldsim.spec import WorldSpec
from worldsim_envs.base import RealEnv
from worldsim_policies.base import Policy

MOST_EPISODES = 20  # that are begun in search of one that lasts through its lead-in


@dataclasses.dataclass(frozen=True, eq=False)
class TwinMoment:
    """The real game at a moment.

    Attributes:
        data: its frame, packed. shape: of the frame.
        psnr: of the generated frame against it, in dB.
        over: its episode has ended.
        saved: the game itself; None for one that can't be saved.
        info: what the game says of itself.
    """

    data: bytes
    shape: tuple[int, ...]
    psnr: float
    over: bool
    saved: bytes | None
    info: dict[str, Any]

    @property
    def frame(self) -> np.ndarray:
        """uint8 `[H, W, 3]`."""
        return np.frombuffer(zlib.decompress(self.data), np.uint8).reshape(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes, about."""
        info = sum(value.nbytes for value in self.info.values() if isinstance(value, np.ndarray))
        return len(self.data) + len(self.saved or b"") + info


class Twin:
    """The real game of a world.

    Args:
        game: the world's own.
        policy: plays one row of it until the generated world goes along.
        context: frames that the generated world is shown.

    Raises:
        WorldsimError: if the game has other frames or actions than the world.
    """

    def __init__(self, game: RealEnv, policy: Policy, context: int, world: WorldSpec):
        own = game.world
        if (own.height, own.width, own.actions) != (world.height, world.width, world.actions):
            raise WorldsimError(
                f"the real {own.name} has other frames or actions than this world of it: record and train it again, "
                "or play without --beside-real"
            )
        self._game, self._policy, self._context = game, policy, max(1, context)
        self._at: TwinMoment | None = None  # where the game is

    def begin(self, episode: int, seed: int) -> tuple[Beginning, TwinMoment]:
        """Begin an episode, and let the policy play until there is enough to show to the generated world.

        Raises:
            WorldsimError: if the game ends sooner than that, again and again.
        """
        for attempt in range(MOST_EPISODES):
            frame, info = self._game.reset(seed=episode + 1000 * attempt)
            self._policy.begin(np.zeros(1, np.int64), [episode + 1000 * attempt])
            frames, actions, over = [frame], list[int](), False
            while len(frames) < self._context and not over:
                actions.append(int(self._policy.act(frame[None], rows_of(info))[0]))
                frame, _, terminated, truncated, info = self._game.step(np.int64(actions[-1]))
                frames.append(frame)
                over = terminated or truncated
            if not over:
                self._at = self._moment(frame, frame, False, info)
                return Beginning(None, seed, np.stack(frames), np.array(actions, np.int64)), self._at
        raise WorldsimError(f"{self._game.world.name} ends before {self._context} frames are seen: nothing to compare")

    def step(self, before: TwinMoment, action: int, generated: np.ndarray) -> TwinMoment | None:
        """The real game's next moment.

        Args:
            before: where it is to go on; the game is put back there, if it can be.
            action: taken there.
            generated: uint8 `[H, W, 3]`, the frame to compare with.

        Returns:
            None if the game has gone on since then and can't go back.
        """
        if before.over:
            return dataclasses.replace(before, psnr=_psnr(generated, before.frame))
        if before is not self._at:
            if before.saved is None:
                return None
            self._game.restore(before.saved)
        frame, _, terminated, truncated, info = self._game.step(np.int64(action))
        self._at = self._moment(frame, generated, terminated or truncated, info)
        return self._at

    def close(self) -> None:
        """End the game."""
        self._game.close()

    def _moment(self, frame: np.ndarray, generated: np.ndarray, over: bool, info: dict[str, Any]) -> TwinMoment:
        try:
            saved = None if over else self._game.save()
        except WorldsimError:  # this game keeps its state to itself
            saved = None
        return TwinMoment(zlib.compress(frame.tobytes(), 1), frame.shape, _psnr(generated, frame), over, saved, info)


def rows_of(info: dict[str, Any]) -> dict[str, Any]:
    """The info of one environment as that of a vector environment with one row."""
    return {name: rows_of(value) if isinstance(value, dict) else np.array([value]) for name, value in info.items()}


def _psnr(frame: np.ndarray, truth: np.ndarray) -> float:
    return float(psnr(frame, truth))
