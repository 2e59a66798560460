"""Recordings: episodes of a real world on disk, and nothing about who recorded or who learns from them.

A recording is one Zarr v3 group with one array a field, all of the same length N (frames of all episodes in a row):

    frames [N, H, W, 3] uint8    actions [N] int16    rewards [N] float32    terminated [N] bool    state [N, S] float32
    and, of a world that tells, behind [N, H, W, 3] uint8

`action[t]` is taken on seeing `frame[t]` and leads to `frame[t+1]`, `reward[t]`, `terminated[t]`; the last frame of an
episode has no action of its own (stored as -1, reward 0). `episode_ends` [E] holds the exclusive end of every episode,
is written last, and is the only truth: whatever lies beyond its last value is the rest of an interrupted write.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from worldsim.errors import WorldsimError
from worldsim.spec import WorldSpec

FORMAT = 1
CHUNK = 64  # frames a chunk
HELD_OUT = 10  # one episode in ten is never trained on


@dataclasses.dataclass(frozen=True)
class Episode:
    """One episode of T+1 frames and T actions.

    Attributes:
        frames: uint8 `[T+1, H, W, 3]`.
        actions: int16 `[T+1]`, the last is -1.
        rewards: float32 `[T+1]`.
        terminated: bool `[T+1]`.
        state: float32 `[T+1, S]`; S is 0 where the world has no exact state.
        behind: uint8 `[T+1, H, W, 3]`, what would have been seen with nothing in the way; None where nobody can tell.
    """

    frames: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    state: np.ndarray
    behind: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.frames)


BEHIND = "behind"
FIELDS = tuple(field.name for field in dataclasses.fields(Episode) if field.name != BEHIND)


class Recording:
    """Read a recording.

        recording = Recording("recordings/doom-maze")
        for start, end in recording.episodes("train"): frames = recording.frames[start:end]

    Attributes:
        spec: the world that was recorded.
        frames, actions, rewards, terminated, state: lazy arrays; slice them to read. behind: another, or None.
        ends: int64 `[E]`, exclusive end of every episode.

    Raises:
        WorldsimError: if there is no whole recording at `path`.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        group, attributes = _open(self.path)
        self.spec = WorldSpec.from_json(attributes["spec"])
        self.origin: dict[str, Any] = dict(attributes.get("origin", {}))
        self.seed: int = attributes["seed"]
        self.frames, self.actions, self.rewards, self.terminated, self.state = (
            _Column(group[name], self.path) for name in FIELDS
        )
        self.behind = _Column(group[BEHIND], self.path) if BEHIND in _fields(group) else None
        self.ends = _ends(group)
        if len(self.ends) and self.ends[-1] > min(group[name].shape[0] for name in _fields(group)):
            raise WorldsimError(
                f"recording {self.path} is damaged: it holds fewer frames than its episodes claim. Record again."
            )
        pictures = [name for name in _fields(group) if name in ("frames", BEHIND)]
        for name, chunk in itertools.product(pictures, range(math.ceil(len(self) / CHUNK))):
            file = self.path / name / "c" / str(chunk) / "0" / "0" / "0"
            if not file.exists():  # Zarr would read zeros
                raise WorldsimError(f"recording {self.path} is damaged: {file} is missing. Record again.")

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
        return Episode(**fields, behind=None if self.behind is None else np.asarray(self.behind[span[0] : span[1]]))

    def iter_episodes(self, split: str = "all") -> Iterator[Episode]:
        """Read the episodes of a split one by one."""
        return (self.episode(span) for span in self.episodes(split))


class RecordingWriter:
    """Append whole episodes to a recording; open an existing one to go on where it stopped.

    Args:
        path: the folder, made if missing.
        spec: the world; an existing recording must be of the same one.
        seed: seed of the recording; episode i is recorded with seed `seed + i`.
        origin: where the frames come from and under which licence.
        behind: whether a new recording also keeps what is behind the frames.

    Raises:
        WorldsimError: if `path` holds a recording of another world or seed, or anything else; or it can't be written.
    """

    def __init__(
        self,
        path: str | Path,
        spec: WorldSpec,
        seed: int = 0,
        origin: dict[str, Any] | None = None,
        behind: bool = False,
    ):
        self.path = Path(path).absolute()
        if (self.path / "zarr.json").exists():
            for left_over in self.path.rglob("*.partial"):  # by a killed recorder, in the middle of a chunk
                left_over.unlink()
            group, attributes = _open(self.path, mode="r+")
            if attributes["spec"] != _plain(spec.to_json()) or attributes["seed"] != seed:
                raise WorldsimError(
                    f"{self.path} holds another recording ({attributes['spec']['name']}, seed {attributes['seed']}, "
                    f"{attributes['spec']['width']}x{attributes['spec']['height']}). Give another --out, or remove it."
                )
        else:
            with _writing(self.path, 0):
                group = _create(self.path, spec, seed, origin or {}, behind)
        self._group = group
        self._fields = _fields(group)
        ends = _ends(group)
        self.frames = int(ends[-1]) if len(ends) else 0
        self.episodes = len(ends)

    def append(self, episode: Episode) -> None:
        """Write one episode; it counts from the moment its end is written, which is the last thing done."""
        start, end = self.frames, self.frames + len(episode)
        with _writing(self.path, self.episodes), zarr.config.set({"array.write_empty_chunks": True}):
            for name in self._fields:
                array = self._group[name]
                array.resize((end, *array.shape[1:]))
                array[start:end] = getattr(episode, name)
            ends = self._group["episode_ends"]
            ends.resize((self.episodes + 1,))
            ends[self.episodes] = end
        self.frames, self.episodes = end, self.episodes + 1


class _Column:
    """A lazy array of a recording; what can't be decoded is the user's error."""

    def __init__(self, array: Any, path: Path):
        self._array, self._path = array, path
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = array.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        try:
            return self._array[index]
        except (RuntimeError, OSError) as error:
            raise WorldsimError(f"recording {self._path} is damaged ({error}). Record again.") from error


@contextlib.contextmanager
def _writing(path: Path, safe: int) -> Iterator[None]:
    """Turns what the disk says into the user's error."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise WorldsimError(f"can't write the recording {path}: {error}") from error
        raise WorldsimError(
            f"disk full while writing {path}; its {safe} whole episodes are safe. "
            "Free some space and run the same command again."
        ) from error


def _fields(group: zarr.Group) -> tuple[str, ...]:
    """The arrays of a recording by name: of some worlds it has one more."""
    return (*FIELDS, BEHIND) if BEHIND in group else FIELDS


def _ends(group: zarr.Group) -> np.ndarray:
    """The ends that were written: a zero is room made for one by a recorder that was killed before it wrote it."""
    ends = np.asarray(group["episode_ends"][:], dtype=np.int64)
    return ends[ends > 0]


def _open(path: Path, mode: str = "r") -> tuple[zarr.Group, dict[str, Any]]:
    if not (path / "zarr.json").exists():
        raise WorldsimError(f"no recording at {path}. Make one: worldsim record NAME --out {path}")
    try:
        group = zarr.open_group(str(path), mode=mode)
        attributes = dict(group.attrs)
        missing = {*FIELDS, "episode_ends"} - set(group.array_keys())
    except (OSError, ValueError, KeyError) as error:
        raise WorldsimError(f"{path} is not a readable recording: {error}") from error
    if attributes.get("format") != FORMAT or missing:
        raise WorldsimError(
            f"{path} is not a whole recording of format {FORMAT} (missing: {sorted(missing)}). Record again."
        )
    return group, attributes


def _create(path: Path, spec: WorldSpec, seed: int, origin: dict[str, Any], behind: bool) -> zarr.Group:
    """A recording without episodes: made beside its place and moved there, so that it is there whole or not at all."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise WorldsimError(f"{path} is no recording and not an empty folder. Give another --out.")
    beside = path.with_name(f".{path.name}.partial")
    group = zarr.open_group(str(beside), mode="w")
    shapes = {
        "frames": ((spec.height, spec.width, 3), "uint8"),
        "actions": ((), "int16"),
        "rewards": ((), "float32"),
        "terminated": ((), "bool"),
        "state": ((len(spec.state_names),), "float32"),
        **({BEHIND: ((spec.height, spec.width, 3), "uint8")} if behind else {}),
    }
    for name, (shape, dtype) in shapes.items():
        chunks = (CHUNK if dtype == "uint8" else CHUNK * CHUNK, *(max(n, 1) for n in shape))
        group.create_array(name, shape=(0, *shape), chunks=chunks, dtype=dtype)
    group.create_array("episode_ends", shape=(0,), chunks=(4096,), dtype="int64")
    group.attrs.update({"format": FORMAT, "spec": _plain(spec.to_json()), "seed": seed, "origin": origin})
    if path.exists():
        path.rmdir()
    beside.replace(path)
    return zarr.open_group(str(path), mode="r+")


def _plain(value: Any) -> Any:
    """As JSON gives it back: lists for tuples."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
