"""`worldsim minari`: recordings to Minari datasets and back, to the byte. Knows no model and no game.

An episode of T+1 frames is one of T steps there: observations are the frames, never as JPEG, `infos["state"]` the exact
state, `infos["behind"]` what is behind the frames where that is told, and a last step that did not end the game is
truncated. What Minari has no place for (the world's actions, keys and clock, the seed, the origin) is in the metadata
of the dataset under `METADATA`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import tyro

from worldsim.data.recording import Episode, Recording, RecordingWriter
from worldsim.errors import WorldsimError, require
from worldsim.progress import ProgressBar
from worldsim.spec import Action, WorldSpec
from worldsim_envs.gym_adapter import SPARE_KEYS

METADATA = "worldsim"
UNREADABLE = (ImportError, OSError, AssertionError, KeyError, TypeError, ValueError)  # what a damaged dataset raises


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Make a Minari dataset of a recording: worldsim minari export recordings/doom-maze worldsim/doom-maze-v0

    Attributes:
        recording: its folder.
        dataset: id of the dataset, as minari.load_dataset takes it: NAMESPACE/NAME-vNUMBER.
        author: who is to be asked about it.
    """

    recording: tyro.conf.Positional[Path]
    dataset: tyro.conf.Positional[str]
    author: str = "unknown"


@dataclasses.dataclass(frozen=True)
class ImportConfig:
    """Make a recording of a Minari dataset: worldsim minari import worldsim/doom-maze-v0 --out recordings/doom-maze

    Attributes:
        dataset: its id; one that is not here is downloaded first by: minari download ID
        out: folder of the recording, which must not be there yet.
        fps: frames a second at which play feels like the original; only for datasets that no recording became.
    """

    dataset: tyro.conf.Positional[str]
    out: Path
    fps: float = 30.0


def export_dataset(config: ExportConfig) -> None:
    """Write the dataset, whole or not at all.

    Raises:
        WorldsimError: if minari is not installed, there is no whole recording with an episode, its id is none or is
            taken, or it can't be written.
    """
    minari = require("minari", "data")
    require("h5py", "data")
    namespaces = require("minari.namespace", "data")
    storages = require("minari.dataset.minari_storage", "data")
    recording = Recording(config.recording)
    if not len(recording):
        raise WorldsimError(f"{config.recording} has no whole episode yet. Go on recording.")
    place, namespace = _place(config.dataset)
    if place.exists():
        raise WorldsimError(f"there is a dataset {config.dataset} already, in {place}. Give another id, or remove it.")
    spec = recording.spec
    with _whole(place, (OSError,)) as beside:
        (beside / "data").mkdir(parents=True)
        storage = storages.MinariStorage.new(
            beside / "data",
            gym.spaces.Box(0, 255, (spec.height, spec.width, 3), np.uint8),
            gym.spaces.Discrete(len(spec.actions)),
            jpeg_encoding=False,
        )
        storage.update_metadata(
            {
                "dataset_id": config.dataset,
                "minari_version": minari.__version__,
                "author": {config.author},
                "description": f"{spec.title or spec.name}: recorded play, every frame as it was seen.",
                METADATA: {"spec": spec.to_json(), "seed": recording.seed, "origin": recording.origin},
            }
        )
        with ProgressBar(f"exporting {spec.name}", len(recording)) as bar:
            storage.update_episodes(_buffers(recording, bar))
        if namespace and namespace not in namespaces.list_local_namespaces():
            namespaces.create_namespace(namespace)
    print(f"{config.dataset}: {len(recording.ends)} episodes of {len(recording)} frames, in {place}")


def import_dataset(config: ImportConfig) -> None:
    """Write the recording, whole or not at all. Rewards become float32, as recordings have them.

    Raises:
        WorldsimError: if minari is not installed, there is no whole dataset of that id, its observations are no RGB
            pictures or its actions not discrete, `out` is there already, or it can't be written.
    """
    minari = require("minari", "data")
    require("h5py", "data")
    place, _ = _place(config.dataset)
    if not (place / "data").exists():
        raise WorldsimError(f"no dataset {config.dataset} in {place}. Fetch it: minari download {config.dataset}")
    if config.out.exists():
        raise WorldsimError(f"{config.out} is there already. Give another --out, or remove it.")
    with _whole(config.out.absolute(), UNREADABLE) as beside:
        dataset = minari.load_dataset(config.dataset)
        spec, seed, origin = _described(dataset, config)
        behind = "behind" in (dataset[0].infos or {}) if len(dataset) else False
        writer = RecordingWriter(beside, spec, seed, origin, behind)
        with ProgressBar(f"importing {config.dataset}", dataset.total_steps + len(dataset)) as bar:
            for found in dataset:
                writer.append(_episode(found, spec, int(dataset.action_space.start)))
                bar.update(writer.frames)
        if not writer.episodes:
            raise WorldsimError(f"dataset {config.dataset} has no episode")
    print(f"{config.out}: {writer.frames} frames in {writer.episodes} episodes")


def _place(dataset: str) -> tuple[Path, str | None]:
    """The folder of a dataset, and its namespace."""
    try:
        namespace, _, _ = require("minari.dataset.minari_dataset", "data").parse_dataset_id(dataset)
    except (TypeError, ValueError) as error:  # without a version, it is a TypeError
        raise WorldsimError(f"{dataset!r} is no id of a dataset: give NAMESPACE/NAME-vNUMBER") from error
    return require("minari.storage", "data").get_dataset_path(dataset), namespace


def _buffers(recording: Recording, bar: ProgressBar) -> Iterator[Any]:
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
        yield buffer(
            observations=episode.frames,
            actions=episode.actions[:steps].astype(np.int64),
            rewards=episode.rewards[:steps],
            terminations=ended,
            truncations=truncated,
            infos={
                **({"state": episode.state} if episode.state.shape[1] else {}),
                **({} if episode.behind is None else {"behind": episode.behind}),
            }
            or None,
        )
        bar.update(end)


def _episode(found: Any, spec: WorldSpec, first: int) -> Episode:
    """An episode of a dataset, whose actions count from `first`, as one of a recording."""
    steps, frames = len(found.rewards), np.asarray(found.observations)
    actions = np.asarray(found.actions) - first
    if frames.shape != (steps + 1, spec.height, spec.width, 3) or actions.shape != (steps,):
        raise WorldsimError(f"episode {found.id}: {steps} steps, but {list(frames.shape)} frames")
    if ((actions < 0) | (actions >= len(spec.actions))).any():
        raise WorldsimError(f"episode {found.id} has an action that the world has not")
    state = np.zeros((steps + 1, 0), np.float32)
    return Episode(
        frames,
        np.append(actions, -1).astype(np.int16),
        np.append(found.rewards, 0).astype(np.float32),
        np.append(found.terminations, False).astype(np.bool_),
        np.asarray(found.infos["state"]) if spec.state_names else state,
        np.asarray(found.infos["behind"]) if "behind" in (found.infos or {}) else None,
    )


def _described(dataset: Any, config: ImportConfig) -> tuple[WorldSpec, int, dict[str, Any]]:
    """World, seed and origin: as the recording had them that the dataset was made of, or as the spaces tell."""
    pictures, actions = dataset.observation_space, dataset.action_space
    if not (
        isinstance(pictures, gym.spaces.Box)
        and pictures.dtype == np.uint8
        and len(pictures.shape) == 3
        and pictures.shape[2] == 3
    ):
        raise WorldsimError(f"{config.dataset} has observations {pictures}; only uint8 RGB pictures can be recorded")
    if not isinstance(actions, gym.spaces.Discrete):
        raise WorldsimError(f"{config.dataset} has actions {actions}; only discrete ones can be recorded")
    if described := dataset.storage.metadata.get(METADATA):
        return WorldSpec.from_json(described["spec"]), described["seed"], described["origin"]
    if actions.n > len(SPARE_KEYS) + 1:
        raise WorldsimError(f"{config.dataset} has {actions.n} actions, more than there are keys")
    names = [f"action-{actions.start + i}" for i in range(int(actions.n))]
    spec = WorldSpec(
        name=config.dataset,
        height=pictures.shape[0],
        width=pictures.shape[1],
        fps=config.fps,
        frame_skip=1,
        actions=(Action(names[0]), *(Action(name, (name,)) for name in names[1:])),
        keys={name: (key,) for name, key in zip(names[1:], SPARE_KEYS, strict=False)},
        title=config.dataset,
    )
    return spec, 0, {"source": f"Minari dataset {config.dataset}", "licence": "that of the dataset"}


@contextlib.contextmanager
def _whole(place: Path, faults: tuple[type[Exception], ...]) -> Iterator[Path]:
    """A name beside `place` to write to, which takes its place at the end; `faults` are the user's, not ours."""
    beside = place.with_name(f".{place.name}.partial")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        yield beside
        os.replace(beside, place)
    except BaseException as error:
        shutil.rmtree(beside, ignore_errors=True)
        if isinstance(error, WorldsimError) or not isinstance(error, faults):
            raise
        raise WorldsimError(f"can't make {place}: {error}. Is its source whole, and the disk not full?") from error
