"""Whether a world is leaving what it was trained on, measured against its own real frames. Knows no window.

    gauge = DriftGauge(session); gauge.of_state(state)      # 1: like a real frame; DRIFTING and more: no longer

A generated frame is encoded again, and the latents compared (see `Session.ood`); one from elsewhere is judged by its
`Strangeness`. How far real frames are apart from themselves in that way is known from the world's starts;
where that is next to nothing, as where pictures are made of tiles, frames are measured against what one can see.
"""

from __future__ import annotations

import numpy as np

from worldsim.runtime.pictures import Strangeness
from worldsim.runtime.session import Session, State

UNSEEN = 0.12  # standard deviations of a latent: what is no farther than that from a real frame, nobody sees
DRIFTING = 3.0  # times as far as real frames; the largest among a shipped world's starts is below 1.7


class DriftGauge:
    """Scores frames of one world; 1 is the median of its starts, or what can just be seen if that is more.

    Args:
        session: of a world with starts.
    """

    def __init__(self, session: Session):
        self._session = session
        self.strangeness = Strangeness(session)
        self._seen = session.runtime.sizes.latents[0] // session.runtime.sizes.layers

    def of_state(self, state: State) -> float:
        """Of the frame on screen of a state of one row."""
        begins = int(state.index[0]) == 0
        apart = self.strangeness.apart(state.latents) if begins else self._session.ood(state)
        return float(apart[0]) / max(self.strangeness.real, UNSEEN)

    def nearest_start(self, state: State) -> int:
        """The start whose last frame has the latents most like those of a state of one row."""
        starts = self._session.runtime.starts
        assert starts is not None
        apart = np.square(starts.latents[:, -1].astype(np.float32) - state.latents)[:, : self._seen].mean((1, 2, 3))
        return int(apart.argmin())
