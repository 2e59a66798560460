"""Generated worlds as simulators: a session over a runtime, its codec, and what it predicts beside frames."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from worldsim.evals.core import Codec
from worldsim.models.retention import context
from worldsim.runtime.base import Runtime
from worldsim.runtime.session import Frame, Session, State


class SessionSimulator:
    """A generated world, run by a runtime.

    Args:
        context_length: how many context frames it is given; what `worldsim.models.retention.context` says if 0.

    Attributes:
        output: all that the newest step returned.
    """

    output: Frame

    def __init__(self, runtime: Runtime, rows: int = 12, context_length: int = 0):
        self._session = Session(runtime)
        self.context = context_length or context(runtime.sizes.window, runtime.sizes.retention)
        self.rows = rows

    def reset(self, frames: np.ndarray, actions: np.ndarray, seeds: np.ndarray) -> State:
        """Encode the context."""
        return self._session.reset(frames, actions, seeds)

    def step(self, state: State, actions: np.ndarray) -> tuple[State, np.ndarray]:
        """Generate the next frames."""
        state, self.output = self._session.step(state, actions)
        return state, self.output.frame

    def replace_rows(self, state: State, rows: np.ndarray, other: State) -> State:
        """A state whose rows where the mask `rows`, bool `[B]`, is true are those of another state."""
        states, others = self._session.split(state), iter(self._session.split(other))
        return self._session.stack([next(others) if new else own for new, own in zip(rows, states, strict=True)])

    def ood(self, state: State) -> np.ndarray:
        """OOD score of its newest frames, float32 `[B]`."""
        return self._session.ood(state)


def runtime_ood(runtime: Runtime) -> Callable[[np.ndarray], np.ndarray]:
    """The OOD score of frames, as `Session.ood` defines it: uint8 `[N, H, W, 3]` -> `[N]`, each as if it had been
    generated from its latents."""

    def ood(frames: np.ndarray) -> np.ndarray:
        scores = []
        for frame in frames:
            latents = runtime.encode(frame[None, None])
            again = runtime.encode(runtime.decode(latents))
            scores.append(float(np.sqrt(np.square(again - latents).mean())))
        return np.array(scores)

    return ood


def runtime_codec(runtime: Runtime, batch: int = 32) -> Codec:
    """The encoder and decoder of a generated world."""

    def codec(frames: np.ndarray) -> np.ndarray:
        flat = frames.reshape(1, -1, *frames.shape[-3:])
        parts = [runtime.decode(runtime.encode(flat[:, i : i + batch])) for i in range(0, flat.shape[1], batch)]
        return np.concatenate(parts, axis=1).reshape(frames.shape)

    return codec


class PredictionRecorder:
    """A `StepObserver` that records what a world predicts beside its frames.

    Args:
        rows, frames: N and n of the rollout.
        ood: also score how far out of distribution each frame is, which costs an encoding.

    Attributes:
        uncertainty, reward, cont, ood: float32 `[N, n]`; ended: bool `[N, n]`. See `worldsim.runtime.session.Frame`.
    """

    def __init__(self, simulator: SessionSimulator, rows: int, frames: int, ood: bool = False):
        self._simulator, self._scores_ood = simulator, ood
        self.uncertainty, self.reward, self.cont, self.ood = (np.zeros((rows, frames), np.float32) for _ in range(4))
        self.ended = np.zeros((rows, frames), bool)

    def __call__(self, rows: slice, t: int, state: State) -> None:
        """Record one step."""
        output = self._simulator.output
        self.uncertainty[rows, t] = state.uncertainty
        self.reward[rows, t], self.cont[rows, t], self.ended[rows, t] = output.reward, output.cont, output.ended
        if self._scores_ood:
            self.ood[rows, t] = self._simulator.ood(state)
