"""Whether a world is leaving what it was trained on, measured against its own real frames. Knows no window.

    gauge = DriftGauge(session); gauge.of_state(state)      # 1: like a real frame; DRIFTING and more: no longer

A frame is encoded again, and the latents compared (see `Session.ood`). How far real frames are apart from themselves in
that way is known from the world's starts.
"""

from __future__ import annotations

import numpy as np

from worldsim.runtime.session import Session, State

SCORED_STARTS = 12
DRIFTING = 3.0  # times as far as real frames; the largest among a shipped world's starts is below 1.7


class DriftGauge:
    """Scores frames of one world; 1 is the median of its starts.

    Args:
        session: of a world with starts.
    """

    def __init__(self, session: Session):
        self._session = session
        self._runtime = session.runtime
        self._seen = self._runtime.sizes.latents[0] // self._runtime.sizes.layers  # channels, without a hidden layer
        starts = self._runtime.starts
        frames = None if starts is None else starts.frames[:SCORED_STARTS, -1:]
        self._real = 1.0 if frames is None else max(1e-6, float(np.median(self._apart(self._runtime.encode(frames)))))

    def of_state(self, state: State) -> float:
        """Of the frame on screen of a state of one row."""
        if int(state.index[0]) == 0:
            return float(self._apart(state.latents[:, None])[0]) / self._real
        return float(self._session.ood(state)[0]) / self._real

    def nearest_start(self, state: State) -> int:
        """The start whose last frame has the latents most like those of a state of one row."""
        starts = self._runtime.starts
        assert starts is not None
        apart = np.square(starts.latents[:, -1].astype(np.float32) - state.latents)[:, : self._seen].mean((1, 2, 3))
        return int(apart.argmin())

    def _apart(self, latents: np.ndarray) -> np.ndarray:
        """How far latents float32 `[N, 1, C, h, w]` are from those of their decoded frames, `[N]`."""
        again = self._runtime.encode(self._runtime.decode(latents))
        apart: np.ndarray = np.sqrt(np.square(again - latents)[:, 0, : self._seen].mean((1, 2, 3)))
        return apart
