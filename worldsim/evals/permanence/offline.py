"""Offline: what a model is asked, written to a folder; and the frames that were brought back, read from it.

    FOLDER/ask.json          suite, version, world, tier and the names of all asks; what each file holds
    FOLDER/asks/ID.npz       context [32, H, W, 3], context_actions [31], hidden_actions [h + k_max], seed; for each
                             point P: begin_P, how many hidden actions come before, and reveal_actions_P [n]; where
                             there is one, control_actions [c], on from the context too
    FOLDER/answers/ID.npz    to be made: hidden [h + k_max, H, W, 3] and for each point reveal_P [n, H, W, 3], all
                             uint8; control [c, H, W, 3] where it was asked for (it may be left out)

Knows files, and no score.
"""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.errors import WorldsimError
from worldsim.evals.permanence.ask import Answer
from worldsim.evals.permanence.scene import SCORED, VERSION, Scene

SUITE = "worldsim-permanence"


@dataclasses.dataclass(frozen=True)
class Asked:
    """What an exported folder asks.

    Attributes:
        world, tier, split: names. width, height: of the frames.
    """

    world: str
    tier: str
    split: str
    width: int
    height: int


def write_asks(folder: Path, asked: Asked, actions: Sequence[str], scenes: Iterator[Scene]) -> int:
    """Write the asks of scenes, `ask.json` last; how many there were.

    Raises:
        WorldsimError: if they can't be written, or the folder holds something else.
    """
    if folder.exists() and not (folder.is_dir() and (not any(folder.iterdir()) or (folder / "asks").is_dir())):
        raise WorldsimError(f"{folder} holds something that is not an export. Give another --out.")
    try:
        (folder / "asks").mkdir(parents=True, exist_ok=True)
        (folder / "answers").mkdir(exist_ok=True)
        names = []
        for number, scene in enumerate(scenes):
            names.append(_name(number, scene))
            _save(folder / "asks" / f"{names[-1]}.npz", _ask_of(scene))
        facts = {"suite": SUITE, "version": VERSION, **dataclasses.asdict(asked), "actions": list(actions)}
        partial = folder / ".ask.json.partial"
        partial.write_text(json.dumps({**facts, "asks": names, "files": __doc__}, indent=1))
        os.replace(partial, folder / "ask.json")
    except OSError as error:
        raise WorldsimError(f"can't write to {folder}: {error.strerror or error}. Give another --out.") from error
    return len(names)


def read_asked(folder: Path) -> Asked:
    """What a folder asks.

    Raises:
        WorldsimError: if it was not exported by this suite in this version.
    """
    path = folder / "ask.json"
    try:
        facts: dict[str, Any] = json.loads(path.read_text("utf-8"))
        version = facts["version"] if facts["suite"] == SUITE else None
        asked = Asked(**{field.name: facts[field.name] for field in dataclasses.fields(Asked)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorldsimError(
            f"{path} is not what `worldsim eval permanence export` writes ({error}). Export again."
        ) from error
    if version != VERSION:
        raise WorldsimError(
            f"{folder} was exported by version {version} of the suite; this is version {VERSION}. "
            "Export again and answer anew: versions can't be compared."
        )
    return asked


class Answers:
    """The answers of a folder, scene by scene in the order in which they were asked."""

    def __init__(self, folder: Path):
        self._folder, self._number = folder, 0

    def __call__(self, scenes: Sequence[Scene]) -> list[Answer]:
        """The answers to the next scenes.

        Raises:
            WorldsimError: if one is missing, of another shape, or the scenes are not those that were asked.
        """
        made = []
        for scene in scenes:
            made.append(self._answer(scene, f"{_name(self._number, scene)}.npz"))
            self._number += 1
        return made

    def _answer(self, scene: Scene, name: str) -> Answer:
        asked = _load(self._folder / "asks" / name, "Export again.")
        wanted = _ask_of(scene)
        if asked.keys() != wanted.keys() or any(not np.array_equal(asked[key], wanted[key]) for key in wanted):
            path = self._folder / "asks" / name
            raise WorldsimError(f"{path} is not what this version of the world asks. Export again and answer anew.")
        path = self._folder / "answers" / name
        given, size = _load(path, "Generate its frames and score again."), scene.context.shape[1:]

        def frames(key: str, count: int) -> np.ndarray:
            if key not in given:
                raise WorldsimError(f"{path} has no {key!r}; give uint8 {[count, *size]}")
            if given[key].shape != (count, *size) or given[key].dtype != np.uint8:
                got = f"{given[key].dtype} {list(given[key].shape)}"
                raise WorldsimError(f"{path}: {key} is {got}; give uint8 {[count, *size]}")
            return given[key]

        control = {}
        if scene.control is not None and "control" in given:
            seen = frames("control", len(scene.control.actions))
            control = {point: seen[i : i + SCORED] for point, (i, _) in scene.control.checks.items()}
        reveals = {b.point: frames(f"reveal_{b.point}", len(b.actions)) for b in scene.branches}
        return Answer(frames("hidden", len(scene.hide) + len(scene.hold)), reveals, control=control)


def _name(number: int, scene: Scene) -> str:
    return f"{number:05d}-{scene.probe}-{scene.twin}"


def _ask_of(scene: Scene) -> dict[str, np.ndarray]:
    arrays = {
        "context": scene.context,
        "context_actions": scene.actions,
        "hidden_actions": np.concatenate([scene.hide, scene.hold]),
        "seed": np.array(scene.seed),
    }
    for branch in scene.branches:
        arrays[f"begin_{branch.point}"] = np.array(len(scene.hide) + branch.k)
        arrays[f"reveal_actions_{branch.point}"] = branch.actions
    if scene.control is not None:
        arrays["control_actions"] = scene.control.actions
    return arrays


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    os.replace(partial, path)


def _load(path: Path, way_out: str) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except FileNotFoundError as error:
        raise WorldsimError(f"there is no {path}. {way_out}") from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise WorldsimError(f"{path} is not a whole .npz file ({error}). {way_out}") from error
