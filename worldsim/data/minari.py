"""Recordings as Minari datasets and back, to the byte. Knows no model, no game and no command line.

An episode of T+1 frames is one of T steps there: observations are the frames, never as JPEG, `infos["state"]` the exact
state, `infos["hidden_layer"]` the hidden layer where there is one, and a last step that did not end the game is
truncated. What Minari has no place for (the world's actions, keys and clock, the seed, the origin) is in the metadata
of the dataset under `METADATA`; infos of other datasets are left alone.

A dataset may come from anywhere. Only its data is read: no environment that it names is made, nothing outside its
folder is opened, and what its arrays claim to hold is bounded before it is read.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import gymnasium as gym
import numpy as np

from worldsim import atomic
from worldsim.data.recording import SIDE, Episode, Recording, RecordingWriter
from worldsim.errors import WorldsimError, require
from worldsim.safe_read import parse_json, read_json, reading
from worldsim.spec import SPARE_KEYS, Action, WorldSpec, slug

METADATA = "worldsim"
EPISODE_BYTES = 8 << 30  # of an array of one episode
FETCH = "Fetch it again: minari download"
Progress = Callable[[int], None]


def export_recording(recording: Recording, dataset: str, author: str, progress: Progress) -> Path:
    """Write a dataset, whole or not at all.

    Args:
        recording: with at least one episode.
        dataset: id, as `minari.load_dataset` takes it: NAMESPACE/NAME-vNUMBER.
        author: who is to be asked about it.
        progress: called with the number of frames that are written.

    Returns:
        the folder of the dataset.

    Raises:
        WorldsimError: if minari is not installed, the recording is empty or damaged, the id is none or is taken, or the
            dataset can't be written.
    """
    minari = require("minari", "data")
    require("h5py", "data")
    storages = require("minari.dataset.minari_storage", "data")
    namespaces = require("minari.namespace", "data")
    if not len(recording):
        raise WorldsimError(f"{recording.path} has no whole episode yet. Go on recording.")
    place, namespace = _place(dataset)
    if place.exists():
        raise WorldsimError(f"there is a dataset {dataset} already, in {place}. Give another id, or remove it.")
    spec = recording.spec
    pictures = 1 if recording.hidden_layer is None else 2
    numbers = 4 * len(spec.state_names) + 32
    # HDF5 does not survive a disk that fills up while it writes
    atomic.check_room(place, int(1.05 * len(recording) * (pictures * spec.height * spec.width * 3 + numbers)) + 2**20)
    with atomic.staging(place) as folder, atomic.explained(place):
        (folder / "data").mkdir()
        storage = storages.MinariStorage.new(
            folder / "data",
            gym.spaces.Box(0, 255, (spec.height, spec.width, 3), np.uint8),
            gym.spaces.Discrete(len(spec.actions)),
            jpeg_encoding=False,
        )
        storage.update_metadata(
            {
                "dataset_id": dataset,
                "minari_version": minari.__version__,
                "author": {author},
                "description": f"{spec.title or spec.name}: recorded play, every frame as it was seen.",
                METADATA: {
                    "spec": spec.to_json(),
                    "seed": recording.seed,
                    "origin": recording.origin,
                    "hidden_layer": recording.hidden_layer is not None,
                },
            }
        )
        storage.update_episodes(_buffers(recording, progress))
        if namespace and namespace not in namespaces.list_local_namespaces():
            namespaces.create_namespace(namespace)
    return place


class Dataset:
    """A dataset of RGB pictures and discrete actions, to be recorded.

    Args:
        dataset: its id.
        fps: frames a second at which play feels like the original, where the dataset doesn't say.
        size: `{"width", "height"}` that its pictures are scaled to; none for their own.

    Attributes:
        spec, seed, origin, hidden_layer: as the recording had them that the dataset was made of, or as its spaces say.
        frames: how many it has.

    Raises:
        WorldsimError: if minari is not installed, there is no whole dataset of that id, it leads outside its folder,
            its observations are no RGB pictures, or its actions not discrete.
    """

    def __init__(self, dataset: str, fps: float = 30.0, size: dict[str, int] | None = None):
        require("minari", "data")
        require("h5py", "data")
        self.path, _ = _place(dataset)
        self.name, self._way_out = dataset, f"{FETCH} {dataset}"
        data = self.path / "data"
        if not data.exists():
            raise WorldsimError(f"no dataset {dataset} in {self.path}. Fetch it: minari download {dataset}")
        metadata = read_json(data / "metadata.json", self._way_out)
        with reading(self.path, self._way_out):
            (height, width), first, count = self._spaces(metadata, data)
            _check_inside(self.path)
            if metadata["data_format"] == "hdf5":
                _check_hdf5(data / "main_data.hdf5")
            described = metadata.get(METADATA)
            self._height, self._width, self._first = height, width, first
            self.hidden_layer = False
            if described is None:
                self.spec, self.seed = self._undescribed(count, fps, size), 0
                self.origin: dict[str, Any] = {"source": f"Minari dataset {dataset}", "licence": "that of the dataset"}
            else:
                self.spec, self.seed = WorldSpec.from_json(described["spec"]), int(described["seed"])
                self.origin = dict(described["origin"])
                self.hidden_layer = described.get("hidden_layer") is True
                if (self.spec.height, self.spec.width, len(self.spec.actions)) != (height, width, count):
                    raise ValueError("its world is not the one of its observations and actions")
                if size and size != {"width": width, "height": height}:
                    raise WorldsimError(f"{dataset} was made of a recording: give no --size, it is imported as it is.")
            self._storage = require("minari.dataset.minari_storage", "data").MinariStorage.read(data)
            self._jpeg = self._storage.jpeg_encoding
            self.frames = int(metadata["total_steps"]) + int(metadata["total_episodes"])
            self._episodes = int(metadata["total_episodes"])

    def episodes(self) -> Iterator[Episode]:
        """Its episodes as a recording has them, one in memory at a time.

        Raises:
            WorldsimError: if one is damaged or not of this world.
        """
        for number in range(self._episodes):
            with reading(self.path, self._way_out):
                self._check_jpeg(number)
                (found,) = self._storage.get_episodes([number])
                episode = self._episode(found, number)
            yield episode

    def _spaces(self, metadata: dict[str, Any], data: Path) -> tuple[tuple[int, int], int, int]:
        """Height and width of the pictures, number of the first action, and how many there are.

        Of a dataset without spaces Minari would make the environment that the dataset names, and so run whatever it
        names; so they are read here, and have to be there.
        """
        texts = [metadata.get(f"{what}_space") for what in ("observation", "action")]
        if not all(isinstance(text, str) for text in texts):
            raise WorldsimError(
                f"{data / 'metadata.json'} has no observation_space or action_space, and worldsim makes no environment "
                f"that a dataset names. Write them there, as Minari's serialize_space does."
            )
        pictures, actions = (parse_json(text, data / "metadata.json", self._way_out) for text in texts if text)
        shape = pictures.get("shape", ())
        if pictures["type"] != "Box" or pictures["dtype"] != "uint8" or len(shape) != 3 or shape[2] != 3:
            kind = f"{pictures['type']} {pictures.get('dtype', '')} {list(shape)}"
            raise WorldsimError(f"{self.name} has observations {kind}; only uint8 RGB pictures can be recorded")
        if actions["type"] != "Discrete":
            raise WorldsimError(f"{self.name} has actions {actions['type']}; only discrete ones can be recorded")
        return (int(shape[0]), int(shape[1])), int(actions.get("start", 0)), int(actions["n"])

    def _undescribed(self, count: int, fps: float, size: dict[str, int] | None) -> WorldSpec:
        """The world of a dataset that no recording became."""
        width, height = (size["width"], size["height"]) if size else (self._width, self._height)
        if width % SIDE or height % SIDE:
            nearest = "x".join(str(max(SIDE, round(side / SIDE) * SIDE)) for side in (width, height))
            raise WorldsimError(
                f"{self.name} has pictures of {width}x{height}, and worlds are learned at multiples of {SIDE}. "
                f"Have them scaled: --size {nearest}"
            )
        if count > len(SPARE_KEYS) + 1:
            raise WorldsimError(f"{self.name} has {count} actions, more than there are keys")
        names = [f"action-{self._first + i}" for i in range(count)]
        return WorldSpec(
            name=slug(self.name),
            height=height,
            width=width,
            fps=fps,
            frame_skip=1,
            actions=(Action(names[0]), *(Action(name, (name,)) for name in names[1:])),
            keys={name: (key,) for name, key in zip(names[1:], SPARE_KEYS, strict=False)},
            title=self.name,
        )

    def _episode(self, found: dict[str, Any], number: int) -> Episode:
        rewards, terminated = (np.asarray(found[key]) for key in ("rewards", "terminations"))
        steps, frames = len(rewards), np.asarray(found["observations"])
        actions = np.asarray(found["actions"]) - self._first
        if frames.shape != (steps + 1, self._height, self._width, 3) or frames.dtype != np.uint8:
            raise WorldsimError(f"episode {number}: {steps} steps, but {list(frames.shape)} frames")
        if not rewards.size == actions.size == terminated.size == steps:  # some have a second axis of one
            raise WorldsimError(f"episode {number}: {steps} steps, but {list(actions.shape)} actions")
        if ((actions < 0) | (actions >= len(self.spec.actions))).any():
            raise WorldsimError(f"episode {number} has an action that the world has not")
        infos = found["infos"] or {}
        state, hidden = np.zeros((steps + 1, 0), np.float32), None
        if self.spec.state_names:
            state = np.asarray(infos["state"]).reshape(steps + 1, len(self.spec.state_names))
        if self.hidden_layer:
            hidden = np.asarray(infos["hidden_layer"])
            if hidden.shape != frames.shape or hidden.dtype != np.uint8:
                raise WorldsimError(f"episode {number}: its hidden layer is {hidden.dtype} {list(hidden.shape)}")
        size = (self.spec.width, self.spec.height)
        if size != (self._width, self._height):
            frames = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])
        return Episode(
            frames,
            np.append(actions, -1).astype(np.int16),
            np.append(rewards, 0),
            np.append(terminated, False).astype(np.bool_),
            state,
            hidden,
        )

    def _check_jpeg(self, number: int) -> None:
        """Pictures kept as JPEG have the size that the dataset says: a small file may unpack to any."""
        path = self.path / "data" / "main_data.hdf5"
        if not self._jpeg or not path.exists() or min(self._height, self._width) < 32:  # Minari keeps those raw
            return
        image, h5py = require("PIL.Image", "data"), require("h5py", "data")
        with h5py.File(path, "r") as file:
            for picture in file[f"episode_{number}"]["observations"]:
                with image.open(io.BytesIO(np.asarray(picture, np.uint8).tobytes())) as opened:
                    if opened.size != (self._width, self._height):
                        raise ValueError(f"episode {number} has a picture of {opened.size[0]}x{opened.size[1]}")


def import_dataset(dataset: Dataset, out: Path, progress: Progress) -> tuple[int, int]:
    """Write a recording, whole or not at all. Rewards become float32, as recordings have them.

    Args:
        dataset: an opened one.
        out: folder of the recording, which must not be there yet.
        progress: called with the number of frames that are written.

    Returns:
        how many frames and episodes it has.

    Raises:
        WorldsimError: if `out` is there already or can't be written, or the dataset is empty or damaged.
    """
    if out.exists():
        raise WorldsimError(f"{out} is there already. Give another --out, or remove it.")
    with atomic.staging(out, "Give another --out.") as folder:
        with RecordingWriter(folder, dataset.spec, dataset.seed, dataset.origin, dataset.hidden_layer) as writer:
            for episode in dataset.episodes():
                writer.append(episode)
                progress(writer.frames)
        if not writer.episodes:
            raise WorldsimError(f"dataset {dataset.name} has no episode")
    return writer.frames, writer.episodes


def _place(dataset: str) -> tuple[Path, str | None]:
    """The folder of a dataset, and its namespace."""
    try:
        namespace, _, _ = require("minari.dataset.minari_dataset", "data").parse_dataset_id(dataset)
    except (TypeError, ValueError) as error:  # without a version, it is a TypeError
        raise WorldsimError(f"{dataset!r} is no id of a dataset: give NAMESPACE/NAME-vNUMBER") from error
    return Path(require("minari.storage", "data").get_dataset_path(dataset)), namespace


def _buffers(recording: Recording, progress: Progress) -> Iterator[Any]:
    """Episodes as Minari takes them, one in memory at a time."""
    buffer = require("minari.data_collector.episode_buffer", "data").EpisodeBuffer
    for start, end in recording.episodes():
        episode = recording.episode((start, end))
        steps = len(episode) - 1
        if not steps:
            raise WorldsimError(f"the episode at frame {start} of {recording.path} has no step: Minari has no such one")
        ended = episode.terminated[:steps]
        truncated = np.zeros(steps, np.bool_)
        truncated[-1] = not ended[-1]
        infos = {
            **({"state": episode.state} if episode.state.shape[1] else {}),
            **({} if episode.hidden_layer is None else {"hidden_layer": episode.hidden_layer}),
        }
        yield buffer(
            observations=episode.frames,
            actions=episode.actions[:steps].astype(np.int64),
            rewards=episode.rewards[:steps],
            terminations=ended,
            truncations=truncated,
            infos=infos or None,
        )
        progress(end)


def _check_inside(folder: Path) -> None:
    """No link in a dataset leads out of it."""
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{path} is a link that leads out of it")


def _check_hdf5(path: Path) -> None:
    """HDF5 can name other files to read from, and claim arrays of any size in a small file."""
    h5py = require("h5py", "data")

    def leads_away(name: str, link: Any) -> str | None:
        return None if isinstance(link, h5py.HardLink) else f"{name} is a link to elsewhere"

    def is_wrong(name: str, found: Any) -> str | None:
        if not isinstance(found, h5py.Dataset):
            return None
        if found.external or found.is_virtual:
            return f"{name} is kept in another file"
        if found.nbytes > EPISODE_BYTES:
            return f"{name} claims {found.nbytes:,} bytes; at most {EPISODE_BYTES:,} are read"
        return None

    with h5py.File(path, "r") as file:  # both visits stop at the first answer; an exception in them is lost
        if fault := file.visititems_links(leads_away) or file.visititems(is_wrong):
            raise ValueError(fault)
