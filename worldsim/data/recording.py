"""Recordings: episodes of a real world on disk, and nothing about who recorded or who learns from them.

A recording is one Zarr v3 group with one array a field, all of the same length N (frames of all episodes in a row):

    frames [N, H, W, 3] uint8    actions [N] int16    rewards [N] float32    terminated [N] bool    state [N, S] float32
    and, if the world can tell, hidden_layer [N, H, W, 3] uint8
    frame_checksums [N, 1 or 2] uint32: of each frame, and of each frame of the hidden layer
    episode_seeds [E] int64    episode_checksums [E] uint32: of all else in an episode    episode_ends [E] int64

`action[t]` is taken on seeing `frame[t]` and leads to `frame[t+1]`, `reward[t]`, `terminated[t]`; the last frame of an
episode has no action of its own (stored as -1, reward 0). `episode_ends` holds the exclusive end of every episode, is
written last, and is the only truth: whatever lies beyond its last value is the rest of an interrupted write.

Everything is checked against its checksum (CRC-32): what is small when a recording is opened, frames as they are read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import math
import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from worldsim import atomic
from worldsim.errors import WorldsimError
from worldsim.safe_read import read_json, reading
from worldsim.spec import WorldSpec

FORMAT = 2
CHUNK = 64  # frames a chunk
SIDE = 8  # a world that can be learned has sides that are multiples of it
HELD_OUT = 10  # one episode in ten is never trained on
LARGEST = 1e30  # magnitude of a reward or a component of a state that is recorded
AGAIN = "Record again."


@dataclasses.dataclass(frozen=True)
class Episode:
    """One episode of T+1 frames and T actions.

    Attributes:
        frames: uint8 `[T+1, H, W, 3]`.
        actions: int16 `[T+1]`, the last is -1.
        rewards: float32 `[T+1]`.
        terminated: bool `[T+1]`.
        state: float32 `[T+1, S]`; S is 0 where the world has no exact state.
        hidden_layer: uint8 `[T+1, H, W, 3]`, what would be seen with nothing in the way; None where nobody can tell.
    """

    frames: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    state: np.ndarray
    hidden_layer: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.frames)


HIDDEN_LAYER = "hidden_layer"
FIELDS = tuple(field.name for field in dataclasses.fields(Episode) if field.name != HIDDEN_LAYER)
SMALL = tuple(name for name in FIELDS if name != "frames")  # checked when a recording is opened
EPISODES = ("episode_seeds", "episode_checksums", "episode_ends")  # one number an episode, the last written last


class Recording:
    """Read a recording.

        recording = Recording("recordings/doom-maze")
        for start, end in recording.episodes("train"): frames = recording.frames[start:end]

    Attributes:
        spec: the world that was recorded.
        origin: where the frames come from, under which licence.
        seed: of the recording.
        frames: uint8 `[N, H, W, 3]`, read and checked when sliced. hidden_layer: another, or None.
        actions, rewards, terminated, state: in memory, as `Episode` has them, of all N frames.
        ends: int64 `[E]`, exclusive end of every episode.
        seeds: int64 `[E]`, with which each was played.

    Raises:
        WorldsimError: if there is no whole recording at `path`; or, from slicing frames, if they are damaged.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        group, attributes = _open(self.path)
        self.spec = WorldSpec.from_json(attributes["spec"])
        self.origin: dict[str, Any] = attributes["origin"]
        self.seed: int = attributes["seed"]
        with _reading(self.path):
            self.ends = _ends(group)  # before all else: whoever records writes them last
            self._check_layout(group, attributes)
            self.seeds, checksums = (group[name][: len(self.ends)] for name in EPISODES[:2])
            self.actions, self.rewards, self.terminated, self.state, frame_checksums = (
                _read_only(group[name][: len(self)]) for name in (*SMALL, "frame_checksums")
            )
            for i, (start, end) in enumerate(self.episodes()):
                rows = [getattr(self, name)[start:end] for name in SMALL]
                if checksums[i] != _checksum(start, end, int(self.seeds[i]), [*rows, frame_checksums[start:end]]):
                    raise ValueError(f"{' or '.join(SMALL)} of frames {start} to {end - 1} have changed")
        self.frames = CheckedFrames(group["frames"], frame_checksums[:, 0], self.path)
        self.hidden_layer = (
            CheckedFrames(group[HIDDEN_LAYER], frame_checksums[:, 1], self.path) if attributes[HIDDEN_LAYER] else None
        )

    def __len__(self) -> int:
        """Frames in whole episodes."""
        return int(self.ends[-1]) if len(self.ends) else 0

    def episodes(self, split: str = "all") -> list[tuple[int, int]]:
        """`(start, end)` of every episode of `split`: "train", "held-out" (every tenth, by seed) or "all"."""
        spans = list(itertools.pairwise([0, *self.ends.tolist()]))
        held_out = {i for i in range(len(spans)) if (i + self.seed) % HELD_OUT == HELD_OUT - 1}
        keep = {"all": range(len(spans)), "held-out": held_out, "train": set(range(len(spans))) - held_out}[split]
        return [spans[i] for i in sorted(keep)]

    def episode(self, span: tuple[int, int]) -> Episode:
        """Read one episode."""
        fields = {name: np.asarray(getattr(self, name)[span[0] : span[1]]) for name in FIELDS}
        return Episode(**fields, hidden_layer=None if self.hidden_layer is None else self.hidden_layer[slice(*span)])

    def iter_episodes(self, split: str = "all") -> Iterator[Episode]:
        """Read the episodes of a split one by one."""
        return (self.episode(span) for span in self.episodes(split))

    def verify(self) -> Iterator[int]:
        """Read all frames, and so check them; yields how many are checked so far.

        Raises:
            WorldsimError: at the first that is damaged.
        """
        for start in range(0, len(self), 16 * CHUNK):
            span = slice(start, min(start + 16 * CHUNK, len(self)))
            for pictures in (self.frames, self.hidden_layer):
                if pictures is not None:
                    pictures[span]
            yield span.stop

    def _check_layout(self, group: zarr.Group, attributes: dict[str, Any]) -> None:
        """Every array is as it was made, long enough, and has all its chunks: for a missing one, Zarr reads zeros."""
        if (np.diff(self.ends, prepend=0) <= 0).any():
            raise ValueError("its episodes don't follow each other")
        for name, (shape, dtype, chunk) in _layout(self.spec, attributes[HIDDEN_LAYER]).items():
            array = group[name]
            length = len(self.ends) if name in EPISODES else len(self)
            if array.shape[1:] != shape or array.dtype != dtype or array.chunks != (chunk, *(max(n, 1) for n in shape)):
                raise ValueError(f"{name} is {array.dtype} {list(array.shape)} in chunks of {list(array.chunks)}")
            if array.shape[0] < length:
                raise ValueError(f"it has {array.shape[0]} {name}, and its episodes claim {length}")
            for number in range(math.ceil(length / chunk) if math.prod(shape) else 0):
                file = self.path.joinpath(name, "c", str(number), *("0" for _ in shape))
                if not file.exists():
                    raise ValueError(f"{file} is missing")


class CheckedFrames:
    """Frames of a recording, `[N, H, W, 3]` uint8, read when sliced, each checked against its checksum."""

    def __init__(self, array: Any, checksums: np.ndarray, path: Path):
        self._array, self._checksums, self._path = array, checksums, path
        self.shape: tuple[int, ...] = (len(checksums), *array.shape[1:])
        self.dtype: np.dtype[Any] = array.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int | slice) -> np.ndarray:
        """One frame, or a slice of frames from front to back.

        Raises:
            WorldsimError: if one is damaged or missing.
        """
        number = range(len(self))[index]
        rows = number if isinstance(number, range) else range(number, number + 1)
        with _reading(self._path):
            frames = np.asarray(self._array[rows.start : rows.stop : rows.step])
            for row, frame in zip(rows, frames, strict=True):
                if _crc(frame) != self._checksums[row]:
                    raise ValueError(f"frame {row} of {self._array.basename} has changed")
        return frames if isinstance(number, range) else frames[0]


class RecordingWriter:
    """Append whole episodes to a recording; open an existing one to go on where it stopped.

    Nobody else can write into the folder until `close`, the end of a context, or the end of the process.

    Args:
        path: the folder, made if missing.
        spec: the world; an existing recording must be of the same one.
        seed: seed of the recording; episodes are played with this one and those after it.
        origin: where the frames come from and under which licence.
        hidden_layer: whether a new recording also keeps what would be seen with nothing in the way.

    Raises:
        WorldsimError: if `path` holds a recording of another world or seed, or anything else; if another process is
            recording there; or it can't be written.
    """

    def __init__(
        self,
        path: str | Path,
        spec: WorldSpec,
        seed: int = 0,
        origin: dict[str, Any] | None = None,
        hidden_layer: bool = False,
    ):
        self.path = Path(path).resolve()
        if not (self.path / "zarr.json").exists():
            _create(self.path, spec, seed, origin or {}, hidden_layer)
        self._lock = atomic.lock(self.path, "Give another --out.")
        try:
            with atomic.explained(self.path):
                for left_over in self.path.rglob("*.partial"):  # by a killed recorder, in the middle of a chunk
                    left_over.unlink()
            self._group, attributes = _open(self.path, mode="r+")
            there = attributes["spec"]
            if there != _plain(spec.to_json()) or attributes["seed"] != seed:
                raise WorldsimError(
                    f"{self.path} holds another recording ({there['name']}, seed {attributes['seed']}, "
                    f"{there['width']}x{there['height']}). Give another --out, or remove it."
                )
            self._pictures = ("frames", *((HIDDEN_LAYER,) if attributes[HIDDEN_LAYER] else ()))
            with _reading(self.path):
                ends = _ends(self._group)
                seeds = self._group["episode_seeds"][: len(ends)]
            self.frames, self.episodes = (int(ends[-1]), len(ends)) if len(ends) else (0, 0)
            self.next_seed = int(seeds[-1]) + 1 if len(ends) else seed
        except BaseException:
            self.close()
            raise

    def append(self, episode: Episode, seed: int | None = None) -> None:
        """Write one episode; it counts from the moment its end is written, which is the last thing done.

        Args:
            episode: of the world.
            seed: with which it was played; `next_seed` if not given.

        Raises:
            WorldsimError: if it has a value that nothing can learn from, or can't be written.
        """
        seed = self.next_seed if seed is None else seed
        _check_values(episode, f"episode {self.episodes} (seed {seed})")
        start, end = self.frames, self.frames + len(episode)
        pictures = [np.asarray(getattr(episode, name), np.uint8) for name in self._pictures]
        frame_checksums = np.array([[_crc(frame) for frame in frames] for frames in pictures], np.uint32).T
        small = {name: np.asarray(getattr(episode, name), self._group[name].dtype) for name in SMALL}
        rows = {**dict(zip(self._pictures, pictures, strict=True)), **small, "frame_checksums": frame_checksums}
        checksum = _checksum(start, end, seed, [*small.values(), frame_checksums])
        with self._writing(), zarr.config.set({"array.write_empty_chunks": True}):
            for name, values in rows.items():
                array = self._group[name]
                array.resize((end, *array.shape[1:]))
                array[start:end] = values
            for name, value in zip(EPISODES, (seed, checksum, end), strict=True):
                array = self._group[name]
                array.resize((self.episodes + 1,))
                array[self.episodes] = value
        self.frames, self.episodes, self.next_seed = end, self.episodes + 1, seed + 1

    def close(self) -> None:
        """Let others write into the folder."""
        self._lock.release()

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turns what the disk says into the user's error."""
        try:
            yield
        except OSError as error:
            if not atomic.is_full(error):
                raise atomic.refused(self.path, error) from error
            raise WorldsimError(
                f"disk full while writing {self.path}; its {self.episodes} whole episodes are safe. "
                "Free some space and run the same command again."
            ) from error


def _check_values(episode: Episode, name: str) -> None:
    """No NaN, no infinity, and nothing so large that its square isn't a number."""
    for what, values in (("reward", episode.rewards), ("state", episode.state)):
        wrong = ~(np.abs(values) <= LARGEST)
        if wrong.any():
            step = int(np.flatnonzero(wrong.reshape(len(values), -1).any(1))[0])
            value = float(np.asarray(values[step])[wrong[step]].flat[0])
            raise WorldsimError(
                f"{name}, step {step}: the {what} is {value:g}, which nothing can learn from. "
                f"Correct the world so that it is a number of at most {LARGEST:g} in magnitude."
            )


def _checksum(start: int, end: int, seed: int, rows: list[np.ndarray]) -> int:
    """Of an episode: where it stands, its seed and all its rows but pictures, which have checksums of their own."""
    checksum = _crc(np.array([start, end, seed], np.int64))
    for values in rows:
        checksum = _crc(values, checksum)
    return checksum


def _crc(values: np.ndarray, before: int = 0) -> int:
    return zlib.crc32(values.tobytes(), before)


def _read_only(values: np.ndarray) -> np.ndarray:
    values.flags.writeable = False
    return values


def _reading(path: Path) -> contextlib.AbstractContextManager[None]:
    return reading(f"recording {path}", AGAIN)


def _ends(group: zarr.Group) -> np.ndarray:
    """The ends that were written: a zero is room made for one by a recorder that was killed before it wrote it."""
    ends = np.asarray(group["episode_ends"][:], dtype=np.int64)
    return ends[: np.flatnonzero(ends)[-1] + 1] if ends.any() else ends[:0]


def _open(path: Path, mode: str = "r") -> tuple[zarr.Group, dict[str, Any]]:
    atomic.settle(path)
    if not (path / "zarr.json").exists():
        raise WorldsimError(f"no recording at {path}. Make one: worldsim record NAME --out {path}")
    attributes = read_json(path / "zarr.json", AGAIN).get("attributes", {})
    if not isinstance(attributes, dict) or attributes.get("format") != FORMAT:
        stated = attributes.get("format") if isinstance(attributes, dict) else None
        raise WorldsimError(f"{path} is a recording of format {stated}; this worldsim reads {FORMAT}. {AGAIN}")
    with _reading(path):
        if attributes.pop("digest") != _digest(attributes):
            raise ValueError("its attributes have changed")
        for name in _layout(WorldSpec.from_json(attributes["spec"]), attributes[HIDDEN_LAYER]):
            if not (path / name / "zarr.json").exists():
                raise ValueError(f"{path / name} is missing")
        return zarr.open_group(str(path), mode=mode), attributes


def _layout(spec: WorldSpec, hidden_layer: bool) -> dict[str, tuple[tuple[int, ...], str, int]]:
    """Of every array: its shape without the first axis, its type, and how many rows a chunk has."""
    picture = ((spec.height, spec.width, 3), "uint8", CHUNK)
    return {
        "frames": picture,
        "actions": ((), "int16", CHUNK * CHUNK),
        "rewards": ((), "float32", CHUNK * CHUNK),
        "terminated": ((), "bool", CHUNK * CHUNK),
        "state": ((len(spec.state_names),), "float32", CHUNK * CHUNK),
        **({HIDDEN_LAYER: picture} if hidden_layer else {}),
        "frame_checksums": ((1 + hidden_layer,), "uint32", CHUNK * CHUNK),
        "episode_seeds": ((), "int64", CHUNK * CHUNK),
        "episode_checksums": ((), "uint32", CHUNK * CHUNK),
        "episode_ends": ((), "int64", CHUNK * CHUNK),
    }


def _create(path: Path, spec: WorldSpec, seed: int, origin: dict[str, Any], hidden_layer: bool) -> None:
    """A recording without episodes, there whole or not at all."""
    if path.exists() and not (path.is_dir() and atomic.is_empty(path)):
        raise WorldsimError(f"{path} is no recording and not an empty folder. Give another --out.")
    content = {"format": FORMAT, "spec": spec.to_json(), "seed": seed, "origin": origin, HIDDEN_LAYER: hidden_layer}
    attributes = _plain(content)
    with atomic.staging(path, "Give another --out.") as folder, atomic.explained(path, "Give another --out."):
        group = zarr.open_group(str(folder), mode="w")
        for name, (shape, dtype, chunk) in _layout(spec, hidden_layer).items():
            chunks = (chunk, *(max(n, 1) for n in shape))
            group.create_array(name, shape=(0, *shape), chunks=chunks, dtype=dtype)
        group.attrs.update({**attributes, "digest": _digest(attributes)})


def _digest(attributes: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(attributes, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """As JSON gives it back: lists for tuples."""
    return json.loads(json.dumps(value))


def relabel(recording: Recording, out: Path, spec: WorldSpec, actions: np.ndarray, note: dict[str, Any]) -> Recording:
    """Write a recording with other actions, and its frames linked instead of copied where the file system can.

    Args:
        recording: stays as it is.
        out: folder; what it held is replaced, whole or not at all.
        spec: of the new one, with other actions and keys.
        actions: int16 `[N]`, indices of those actions; -1 for the last frame of an episode.
        note: added to the origin.

    Raises:
        WorldsimError: if it can't be written.
    """
    assert dataclasses.replace(spec, actions=recording.spec.actions, keys=recording.spec.keys) == recording.spec
    assert actions.shape == (len(recording),)
    pictures = {recording.path / name / "c" for name in ("frames", HIDDEN_LAYER)}

    def link(source: str, target: str) -> None:
        if not pictures.isdisjoint(Path(source).parents):
            with contextlib.suppress(OSError):
                os.link(source, target)
                return
        shutil.copyfile(source, target)

    origin = {**recording.origin, **note}
    hidden = recording.hidden_layer is not None
    content = {"format": FORMAT, "spec": spec.to_json(), "seed": recording.seed, "origin": origin, HIDDEN_LAYER: hidden}
    with atomic.staging(out, "Give another --out.") as folder, atomic.explained(out):
        leave = shutil.ignore_patterns(".*", "*.partial")
        shutil.copytree(recording.path, folder, copy_function=link, ignore=leave, dirs_exist_ok=True)
        group = zarr.open_group(str(folder), mode="r+")
        group.attrs.update({**_plain(content), "digest": _digest(_plain(content))})
        group["actions"][: len(recording)] = np.asarray(actions, np.int16)
        frame_checksums = group["frame_checksums"][: len(recording)]
        for i, (start, end) in enumerate(recording.episodes()):
            episode = [getattr(recording, name)[start:end] for name in SMALL]
            episode[SMALL.index("actions")] = np.asarray(actions[start:end], np.int16)
            checksum = _checksum(start, end, int(recording.seeds[i]), [*episode, frame_checksums[start:end]])
            group["episode_checksums"][i] = checksum
    return Recording(out)
