"""Session: play a generated world. A state goes in, a new state comes out; nothing is kept in between.

    session = Session(load_runtime(open_world("doom-maze")))
    state = session.start([0], seeds=[7])
    state, seen = session.step(state, np.array([1]))         # seen.frame: uint8 [1, H, W, 3]

Keeping an old state is rewind, stepping it with another action is a branch, `snapshot` of it is a save file. States
share the cache entries of frames they have both seen. Knows nothing of windows, gymnasium or torch.

B batch, T frames, P <= W entries, L x M x F one frame's cache entry, C x h x w latents, H x W pixels, Q x U a
memory entry.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from worldsim.errors import WorldsimError
from worldsim.models.history import History
from worldsim.models.retention import retained
from worldsim.rng import SEEDS, frame_chance, frame_noise
from worldsim.runtime.base import Runtime, StepOutput


@dataclasses.dataclass(frozen=True, eq=False)
class State:
    """Where B worlds are. A value: its arrays are read-only.

    Attributes:
        entries: the newest cache entries, oldest first, at most W, each float16 `[B, L, M, F]`.
        length: int64 `[B]`, how many of the newest entries are real for each row.
        memory: entries of older frames, oldest first, each float16 `[B, Q, U]`; empty without memory.
        poses: that go with them, each float32 `[B, P]`; empty without a view memory.
        remembered: int64 `[len(memory), B]`, the numbers of those frames, counted as `number`; below 0 for nothing.
        number: int64 `[B]`, frames seen before the one on screen.
        latents: float32 `[B, C, h, w]` of the frame on screen.
        frame: uint8 `[B, H, W, 3]`, on screen.
        index: int64 `[B]`, frames generated since the last real one.
        seed: uint64 `[B]`, of all random numbers.
        uncertainty: float32 `[B]`, of the frame on screen: how much the sampler's passes differ, in standard deviations
            of a latent; 0 for a real frame.
    """

    entries: tuple[np.ndarray, ...]
    length: np.ndarray
    memory: tuple[np.ndarray, ...]
    poses: tuple[np.ndarray, ...]
    remembered: np.ndarray
    number: np.ndarray
    latents: np.ndarray
    frame: np.ndarray
    index: np.ndarray
    seed: np.ndarray
    uncertainty: np.ndarray

    def __post_init__(self) -> None:
        for array in (
            *self.entries,
            *self.memory,
            *self.poses,
            self.remembered,
            *(getattr(self, name) for name in ROWS),
        ):
            if array.flags.writeable:  # most are not: asking takes a fifth of the time of setting
                array.flags.writeable = False

    def __setstate__(self, fields: dict[str, Any]) -> None:
        """Copies and pickles come back as writable arrays: make them read-only again."""
        self.__dict__.update(fields)
        self.__post_init__()

    def __len__(self) -> int:
        """B."""
        return len(self.length)


RAREST = 0.02  # lowest probability of an end that is drawn: below it is network error, which adds up in long play
ROWS = (
    "length",
    "number",
    "latents",
    "frame",
    "index",
    "seed",
    "uncertainty",
)  # fields of a state with one row for each world


class Frame(NamedTuple):
    """What is seen of a step.

    Attributes:
        frame: uint8 `[B, H, W, 3]`, read-only.
        reward: float32 `[B]`, expected.
        cont: float32 `[B]`, probability that play goes on.
        ended: bool `[B]`, whether it ends here, drawn with that probability.
    """

    frame: np.ndarray
    reward: np.ndarray
    cont: np.ndarray
    ended: np.ndarray


class Session:
    """The rollout of a generated world; holds no state of its own, so one session serves any number of players.

    Args:
        runtime: of the world.
        temperature: of the noise that each frame starts from, as a multiple of the world's own: below 1 rare events
            become rarer, above 1 more frequent. Not part of a state.

    Raises:
        WorldsimError: if it is below 0, or not finite.
    """

    def __init__(self, runtime: Runtime, temperature: float = 1.0):
        if not (isinstance(temperature, (int, float)) and math.isfinite(temperature) and temperature >= 0):
            raise WorldsimError(f"temperature {temperature}: give a number, 0 or more; 1 is the world as it is")
        self.runtime, self.spec, self.window = runtime, runtime.spec, runtime.sizes.window
        self.temperature = float(temperature)

    def reset(self, frames: np.ndarray, actions: np.ndarray, seeds: Sequence[int] | np.ndarray) -> State:
        """Begin after any frames of the world's size.

        Args:
            frames: uint8 `[B, T, H, W, 3]`, T at least 1; `worldsim.models.retention.context` says how many fill the
                window, and a world with memory remembers more.
            actions: integers `[B, T-1]`, those taken between them.
            seeds: integers `[B]`, 0 or more.

        Raises:
            WorldsimError: for frames of another size, numbers that do not fit each other, or an unknown action.
        """
        frames = np.asarray(frames)
        size = (self.spec.height, self.spec.width, 3)
        if frames.dtype != np.uint8 or frames.ndim != 5 or frames.shape[2:] != size or 0 in frames.shape[:2]:
            raise WorldsimError(
                f"frames {frames.dtype} {list(frames.shape)} do not fit world {self.spec.name!r}: "
                f"give uint8 RGB [B, T, {size[0]}, {size[1]}, 3]"
            )
        actions = self._actions(actions, (frames.shape[0], frames.shape[1] - 1))
        return self._begin(self.runtime.encode(frames), actions, frames[:, -1], seeds)

    def start(self, starts: Sequence[int], seeds: Sequence[int] | np.ndarray) -> State:
        """Begin at starts that the world came with, one a row.

        Raises:
            WorldsimError: for a start the world has not, or if it came without.
        """
        known = self.runtime.starts
        if known is None:
            raise WorldsimError(f"world {self.spec.name!r} came without starts: reset it from frames")
        for start in starts:
            if not 0 <= start < len(known):
                raise WorldsimError(f"world {self.spec.name!r} has no start {start}; it has 0 to {len(known) - 1}")
        rows = list(starts)
        return self._begin(known.latents[rows].astype(np.float32), known.actions[rows], known.frames[rows, -1], seeds)

    def step(self, state: State, actions: np.ndarray) -> tuple[State, Frame]:
        """Generate the next frame.

        Args:
            state: not changed.
            actions: integers `[B]`, taken on seeing `state.frame`.

        Raises:
            WorldsimError: for an action the world has not.
        """
        actions = self._actions(actions, (len(state),))
        shape = self.runtime.sizes.noise
        noise = [
            frame_noise(int(s), int(i) + 1, shape, self.temperature)
            for s, i in zip(state.seed, state.index, strict=True)
        ]
        made = self.runtime.step(self.history(state), state.latents, actions, np.stack(noise))
        memory, poses, remembered = self._remember(state, made)
        new = State(
            entries=(*state.entries, made.entry)[-self.window :],
            length=np.minimum(state.length + 1, self.window),
            memory=memory,
            poses=poses,
            remembered=remembered,
            number=state.number + 1,
            latents=made.latents,
            frame=made.frame,
            index=state.index + 1,
            seed=state.seed,
            uncertainty=made.uncertainty,
        )
        ended = made.cont <= 1 - RAREST
        for i in np.flatnonzero(ended):
            ended[i] = frame_chance(int(new.seed[i]), int(new.index[i])) >= made.cont[i]
        return new, Frame(made.frame, made.reward, made.cont, ended)

    def show(self, state: State, frames: np.ndarray) -> State:
        """Put pictures in the place of the frames on screen; what came before stays, and play goes on from them.

        Where a picture differs from its frame, those cells of the latents are encoded anew, the neighbouring ones too,
        and in worlds with a hidden layer what is seen there now is also what would be seen with nothing in the way. All
        other cells stay bit for bit, and hidden things with them. A picture counts as a real frame: `index` and
        `uncertainty` are 0. A row whose picture is the frame itself stays as it is.

        Args:
            state: not changed.
            frames: uint8 `[B, H, W, 3]`, of the world's size.

        Raises:
            WorldsimError: for frames of another size or number.
        """
        frames = np.asarray(frames)
        if frames.dtype != np.uint8 or frames.shape != state.frame.shape:
            raise WorldsimError(
                f"pictures {frames.dtype} {list(frames.shape)} can't be shown in world {self.spec.name!r}: give uint8 "
                f"RGB {list(state.frame.shape)}"
            )
        channels, h, w = self.runtime.sizes.latents
        seen = channels // self.runtime.sizes.layers
        differs = (frames != state.frame).any(-1).reshape(len(state), h, frames.shape[1] // h, w, -1).any((2, 4))
        around = np.pad(differs, ((0, 0), (1, 1), (1, 1)))
        near = np.asarray(np.lib.stride_tricks.sliding_window_view(around, (3, 3), (1, 2)).any((3, 4)))
        anew = np.concatenate([np.repeat(near[:, None], seen, 1), np.repeat(differs[:, None], channels - seen, 1)], 1)
        latents = np.where(anew, self.runtime.encode(frames[:, None])[:, 0], state.latents)
        changed = differs.any((1, 2))
        return dataclasses.replace(
            state,
            latents=latents,
            frame=frames.copy(),
            index=np.where(changed, 0, state.index),
            uncertainty=np.where(changed, np.float32(0), state.uncertainty),
        )

    def ood(self, state: State) -> np.ndarray:
        """How far the frames on screen are out of distribution, float32 `[B]`: the difference between a frame's latents
        and those of the decoded frame, in standard deviations of a latent. Encoder and decoder are inverse to each
        other on what they were trained on, and nowhere else. 0 for a real frame."""
        seen = self.runtime.sizes.latents[0] // self.runtime.sizes.layers
        again = self.runtime.encode(state.frame[:, None])[:, 0]
        apart: np.ndarray = np.sqrt(np.square(again - state.latents)[:, :seen].mean((1, 2, 3)))
        return np.where(state.index > 0, apart, 0).astype(np.float32)

    def stack(self, states: Sequence[State]) -> State:
        """Several states as the rows of one; their numbers of frames may differ."""
        most = max(len(s.memory) for s in states)
        remembered = [np.pad(s.remembered, ((most - len(s.memory), 0), (0, 0)), constant_values=-1) for s in states]
        fields: dict[str, Any] = {name: np.concatenate([getattr(s, name) for s in states]) for name in ROWS}
        for name, (shape, dtype) in self._tuples().items():
            fields[name] = _aligned([getattr(s, name) for s in states], [len(s) for s in states], shape, dtype)
        return State(remembered=np.concatenate(remembered, axis=1), **fields)

    def split(self, state: State) -> list[State]:
        """The rows of a state as states of one row."""
        rows = []
        for i in range(len(state)):
            row = slice(i, i + 1)
            newest = state.entries[len(state.entries) - int(state.length[i]) :]
            own = np.flatnonzero(state.remembered[:, i] >= 0)
            rows.append(
                State(
                    entries=tuple(entry[row] for entry in newest),
                    memory=tuple(state.memory[j][row] for j in own),
                    poses=tuple(state.poses[j][row] for j in own) if state.poses else (),
                    remembered=state.remembered[own, row],
                    **{name: getattr(state, name)[row] for name in ROWS},
                )
            )
        return rows

    def snapshot(self, state: State) -> bytes:
        """A state as the bytes of a safetensors file; `restore` gives it back bit for bit."""
        tensors = {name: getattr(state, name) for name in (*ROWS, "remembered")}
        for name, (shape, dtype) in self._tuples().items():
            parts = getattr(state, name)
            tensors[name] = np.array(parts, dtype).reshape(len(parts), len(state), *shape)
        tensors["world"] = np.frombuffer(bytes.fromhex(self.runtime.digest), np.uint8)
        return safetensors.numpy.save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})

    def restore(self, data: bytes) -> State:
        """The state of a snapshot.

        Raises:
            WorldsimError: if it is not a whole snapshot, or one of another world.
        """
        try:
            tensors = safetensors.numpy.load(data)
            world = bytes(tensors.pop("world")).hex()
            tuples: dict[str, Any] = {name: tuple(tensors.pop(name)) for name in self._tuples()}
            rows: dict[str, Any] = dict(tensors)
            state = State(**tuples, **rows)
            if world == self.runtime.digest:
                self._check(state)
        except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
            raise WorldsimError(f"not a whole snapshot of a world ({error}). Restore another one.") from error
        if world != self.runtime.digest:
            raise WorldsimError(
                f"this snapshot is of another world than {self.spec.name!r}, or of other weights "
                f"({world[:12]}, not {self.runtime.digest[:12]}). Open the world it was taken in."
            )
        return state

    def _begin(
        self, latents: np.ndarray, actions: np.ndarray, frame: np.ndarray, seeds: Sequence[int] | np.ndarray
    ) -> State:
        batch, length = latents.shape[:2]
        if len(seeds) != batch or not all(0 <= int(seed) < SEEDS for seed in seeds):
            raise WorldsimError(f"seeds {list(seeds)}: give {batch}, one a row, 0 to 2**64 - 1")
        sizes = self.runtime.sizes
        entries: tuple[np.ndarray, ...] = ()
        if length > 1:
            seen = sizes.entry[0] * self.window  # frames that the newest entries depend on
            made = self.runtime.prefill(latents[:, :-1][:, -seen:], actions[:, -seen:])[:, -self.window :]
            entries = tuple(np.ascontiguousarray(made[:, t]) for t in range(made.shape[1]))
        memory: tuple[np.ndarray, ...] = ()
        poses: tuple[np.ndarray, ...] = ()
        remembered = np.arange(0)
        if length > 1 and sizes.memory:
            left = self.runtime.remember(latents[:, :-1], latents[:, 1:], actions)
            number = np.arange(length - 1)
            remembered = np.flatnonzero(retained(number, length - 1 - number, sizes.retention))
            memory, *rest = (tuple(np.ascontiguousarray(part[:, t]) for t in remembered) for part in left)
            poses = rest[0] if rest else ()
        return State(
            entries=entries,
            length=np.full(batch, len(entries), np.int64),
            memory=memory,
            poses=poses,
            remembered=remembered[:, None].repeat(batch, axis=1),
            number=np.full(batch, length - 1, np.int64),
            latents=np.ascontiguousarray(latents[:, -1]),
            frame=frame.copy(),
            index=np.zeros(batch, np.int64),
            seed=np.array([int(seed) for seed in seeds], np.uint64),
            uncertainty=np.zeros(batch, np.float32),
        )

    def _check(self, state: State) -> None:
        """Raises ValueError for arrays that no state of this world has."""
        batch, kept = len(state), len(state.memory)
        counts = {"entries": range(self.window + 1), "poses": (kept if self.runtime.sizes.pose else 0,)}
        arrays: list[tuple[np.ndarray, tuple[int, ...], Any]] = [(state.remembered, (kept, batch), np.int64)]
        for name, (shape, dtype) in self._tuples().items():
            parts = getattr(state, name)
            if len(parts) not in counts.get(name, (len(parts),)):
                raise ValueError(f"{len(parts)} of its {name}")
            arrays += [(part, (batch, *shape), dtype) for part in parts]
        rows = {"latents": self.runtime.sizes.latents, "frame": (self.spec.height, self.spec.width, 3)}
        kinds = {"latents": np.float32, "frame": np.uint8, "seed": np.uint64, "uncertainty": np.float32}
        arrays += [(getattr(state, name), (batch, *rows.get(name, ())), kinds.get(name, np.int64)) for name in ROWS]
        for array, shape, dtype in arrays:
            if array.shape != shape or array.dtype != dtype:
                raise ValueError(f"an array {array.dtype} {list(array.shape)} for {np.dtype(dtype)} {list(shape)}")
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ValueError("a number that is not finite")
        if not ((state.length >= 0) & (state.length <= len(state.entries))).all():
            raise ValueError("more entries than it holds")

    def _actions(self, actions: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        actions = np.asarray(actions)
        if actions.shape != shape or not (np.issubdtype(actions.dtype, np.integer) or actions.size == 0):
            raise WorldsimError(f"actions {actions.dtype} {list(actions.shape)}: give integers {list(shape)}")
        unknown = actions[(actions < 0) | (actions >= len(self.spec.actions))]
        if unknown.size:
            names = ", ".join(f"{i} {action.name}" for i, action in enumerate(self.spec.actions))
            raise WorldsimError(f"world {self.spec.name!r} has no action {int(unknown[0])}; it has {names}")
        return actions.astype(np.int64)

    def history(self, state: State) -> History:
        """A state as the runtime takes it; empty slots are zeros."""
        sizes, batch = self.runtime.sizes, len(state)
        blank = [np.zeros((batch, *sizes.entry), np.float16)] * (self.window - len(state.entries))
        cache = _beside([*blank, *state.entries])
        if sizes.memory is None:
            return History(cache, state.length)
        if not state.memory:
            pose = np.zeros((batch, 1, sizes.pose), np.float32) if sizes.pose else None
            return History(
                cache,
                state.length,
                np.zeros((batch, 1, *sizes.memory), np.float16),
                np.zeros((batch, 1), np.int64),
                pose,
            )
        age = np.where(state.remembered >= 0, state.number - state.remembered, 0)
        pose = _beside(state.poses) if sizes.pose else None
        return History(cache, state.length, _beside(state.memory), np.ascontiguousarray(age.T), pose)

    def _remember(
        self, state: State, made: StepOutput
    ) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...], np.ndarray]:
        """Memory and poses of the next state, and the numbers of their frames, without those that no row retains."""
        if made.memory is None:
            return state.memory, state.poses, state.remembered
        memory, poses = (*state.memory, made.memory), state.poses
        if made.pose is not None:
            poses = *poses, made.pose
        numbers = np.concatenate([state.remembered, state.number[None]])
        kept = (numbers >= 0) & retained(numbers, state.number + 1 - numbers, self.runtime.sizes.retention)
        numbers, some = np.where(kept, numbers, -1), kept.any(axis=1)
        return tuple(itertools.compress(memory, some)), tuple(itertools.compress(poses, some)), numbers[some]

    def _tuples(self) -> dict[str, tuple[tuple[int, ...], type]]:
        """Shape and type of one row of the fields of a state that are tuples."""
        sizes = self.runtime.sizes
        return {
            "entries": (sizes.entry, np.float16),
            "memory": (sizes.memory or (), np.float16),
            "poses": ((sizes.pose,), np.float32),
        }


def _beside(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays `[B, ...]` as one `[B, len(parts), ...]`: what `np.stack` makes, with less work for each of them."""
    whole = np.concatenate(parts).reshape(len(parts), *parts[0].shape)
    return np.ascontiguousarray(whole.swapaxes(0, 1))


def _aligned(
    parts: list[tuple[np.ndarray, ...]], rows: list[int], shape: tuple[int, ...], dtype: type
) -> tuple[np.ndarray, ...]:
    """Tuples of `[rows, *shape]`, the newest last, side by side; nothing where one is shorter."""
    most = max(map(len, parts))
    blanks: list[np.ndarray] = [np.zeros((n, *shape), dtype) for n in rows]
    padded = [[blank] * (most - len(part)) + list(part) for part, blank in zip(parts, blanks, strict=True)]
    return tuple(np.concatenate(side) for side in zip(*padded, strict=True))
