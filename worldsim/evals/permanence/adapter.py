"""Other people's models: an adapter of two functions, made a simulator, and checked before it is judged.

    class Adapter:
        def reset(self, context_frames, context_actions, seed):     # uint8 [32, H, W, 3], int64 [31], int
            return state                                            # anything
        def step(self, state, action):                              # action: int
            return new_state, frame                                 # uint8 [H, W, 3]; the old state as it was

It may have more: `context_length`, how many past frames the model sees; `digest`, a name for its weights;
`codec(frames)`, uint8 `[n, H, W, 3]` through its encoder and decoder; and `surprise(state, actions, frames, seed)`, its
mean denoising loss for frames uint8 `[n, H, W, 3]` as what follows a state under actions int64 `[n]`.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from worldsim.errors import WorldsimError
from worldsim.evals.core import Codec
from worldsim.evals.permanence.scene import CONTEXT, Scene

TRIED = 6  # frames of each rollout of the check


class Adapter(Protocol):
    """A model under evaluation; see the head of this file."""

    def reset(self, context_frames: np.ndarray, context_actions: np.ndarray, seed: int) -> Any:
        """Encode real frames uint8 `[32, H, W, 3]` and the actions int64 `[31]` between them -> state."""

    def step(self, state: Any, action: int) -> tuple[Any, np.ndarray]:
        """The action taken on seeing the newest frame -> new state, next frame uint8 `[H, W, 3]`."""


class AdapterSimulator:
    """An adapter as a `worldsim.evals.core.Simulator`: its states are those of the rows, one by one.

    Args:
        adapter: the model.
        name: for errors and reports.
    """

    context, rows = CONTEXT, 8

    def __init__(self, adapter: Adapter, name: str):
        self.adapter, self.name = adapter, name
        self.context_length: int | None = getattr(adapter, "context_length", None)
        self.digest: str = getattr(adapter, "digest", "") or _source_digest(adapter)
        self._size: tuple[int, ...] = ()

    @property
    def codec(self) -> Codec | None:
        """The model's encoder and decoder, where it offers them."""
        return getattr(self.adapter, "codec", None)

    def reset(self, frames: np.ndarray, actions: np.ndarray, seeds: np.ndarray) -> list[Any]:
        """See `Simulator`."""
        self._size = frames.shape[2:]
        rows = zip(frames, actions, seeds, strict=True)
        return [self.adapter.reset(f.copy(), np.array(a, np.int64), int(seed)) for f, a, seed in rows]

    def step(self, state: list[Any], actions: np.ndarray) -> tuple[list[Any], np.ndarray]:
        """See `Simulator`.

        Raises:
            WorldsimError: if the adapter returns anything but a state and a frame of the right kind.
        """
        made = []
        for row, action in zip(state, actions, strict=True):
            out = self.adapter.step(row, int(action))
            if not isinstance(out, tuple) or len(out) != 2:
                raise WorldsimError(f"{self.name}: step returned {_kind(out)}; return (state, frame)")
            made.append((out[0], self._frame(out[1])))
        return [row for row, _ in made], np.stack([frame for _, frame in made])

    def _frame(self, frame: Any) -> np.ndarray:
        wanted = f"return uint8 RGB {list(self._size)}"
        if not isinstance(frame, np.ndarray):
            raise WorldsimError(f"{self.name}: step returned a frame that is {_kind(frame)}; {wanted} as a numpy array")
        if np.issubdtype(frame.dtype, np.floating) and not np.isfinite(frame).all():
            raise WorldsimError(f"{self.name}: step returned a frame with NaN or infinite values; {wanted}")
        if frame.shape != self._size or frame.dtype != np.uint8:
            raise WorldsimError(f"{self.name}: step returned a frame of {frame.dtype} {list(frame.shape)}; {wanted}")
        return frame.copy()


class SurprisedAdapter(AdapterSimulator):
    """The same for an adapter that offers its denoising loss."""

    def surprise(self, state: list[Any], actions: np.ndarray, frames: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """See `worldsim.evals.permanence.ask.Surprised`.

        Raises:
            WorldsimError: if a loss is not a number.
        """
        adapter: Any = self.adapter
        rows = zip(state, actions, frames, seeds, strict=True)
        losses = [adapter.surprise(row, np.array(a, np.int64), f.copy(), int(seed)) for row, a, f, seed in rows]
        if not all(np.isscalar(loss) and np.isfinite(loss) for loss in losses):
            raise WorldsimError(f"{self.name}: surprise returned {losses[0]!r}; return a finite float")
        return np.array(losses, float)


def load_adapter(name: str) -> AdapterSimulator:
    """The adapter called `package.module:Name`, made without arguments.

    Raises:
        WorldsimError: if it can't be imported or made, or lacks a function.
    """
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise WorldsimError(f"--model {name!r} is not package.module:Adapter")
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
    except ImportError as error:
        raise WorldsimError(f"--model {name}: can't import {module_name} ({error}). Is it on PYTHONPATH?") from error
    except AttributeError as error:
        raise WorldsimError(f"--model {name}: {module_name} has no {attribute}") from error
    try:
        adapter = factory()
    except Exception as error:
        raise WorldsimError(
            f"--model {name}: {attribute}() failed: {error!r}. It is made without arguments."
        ) from error
    for function in ("reset", "step"):
        if not callable(getattr(adapter, function, None)):
            raise WorldsimError(f"--model {name}: {attribute} has no {function}(); see docs/permanence.md")
    return (SurprisedAdapter if hasattr(adapter, "surprise") else AdapterSimulator)(adapter, name)


def check_adapter(simulator: AdapterSimulator, scene: Scene) -> None:
    """Try an adapter on one scene before it is evaluated on all.

    Raises:
        WorldsimError: if it returns a wrong frame, is not deterministic, or changes a state that it was given.
    """
    context, taken, seeds = scene.context[None], scene.actions[None], np.array([scene.seed])
    actions = np.resize(np.concatenate([scene.hide, scene.hold]), TRIED)

    def play(state: list[Any]) -> np.ndarray:
        frames = []
        for action in actions:
            state, frame = simulator.step(state, action[None])
            frames.append(frame[0])
        return np.stack(frames)

    first = simulator.reset(context, taken, seeds)
    seen = play(first)
    if not np.array_equal(seen, play(simulator.reset(context, taken, seeds))):
        raise WorldsimError(
            f"{simulator.name} is not deterministic: the same context, actions and seed gave other frames. "
            "Draw all noise from the seed that reset is given."
        )
    if not np.array_equal(seen, play(first)):
        raise WorldsimError(
            f"{simulator.name}: step changes the state it is given: played again from the same state, it gave other "
            "frames. Return a new state and leave the old one as it was; reveals branch off it."
        )


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _source_digest(adapter: Adapter) -> str:
    """A name for a model that gives none: sha256 of the file its class is in."""
    file = inspect.getsourcefile(type(adapter))
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else "unknown"
