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
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from worldsim.errors import WorldsimError
from worldsim.evals.files import checking, json_bytes, typed, write_files
from worldsim.evals.permanence.ask import Answer
from worldsim.evals.permanence.scene import SCORED, VERSION, Scene
from worldsim.evals.permanence.tiers import TIERS
from worldsim.safe_read import read_json, read_npz

SUITE = "worldsim-permanence"
EXPORT_AGAIN = "Export again and answer anew: worldsim eval permanence export."
MOST_PIXELS = 4096  # a side of a frame


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
    _check_free(folder)
    names = []
    for number, scene in enumerate(scenes):
        names.append(_name(number, scene))
        write_files(folder, {f"asks/{names[-1]}.npz": _packed(_ask_of(scene))})
    facts = {"suite": SUITE, "version": VERSION, **dataclasses.asdict(asked), "actions": list(actions)}
    write_files(folder, {"ask.json": json_bytes({**facts, "asks": names, "files": __doc__})})
    return len(names)


def _check_free(folder: Path) -> None:
    """Make sure that a folder is an export, empty, or not there, and has a folder for the answers."""
    try:
        if folder.exists() and not (folder.is_dir() and (not any(folder.iterdir()) or (folder / "asks").is_dir())):
            raise WorldsimError(f"{folder} holds something that is not an export. Give another --out.")
        (folder / "answers").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorldsimError(f"can't write to {folder}: {error.strerror or error}. Give another --out.") from error


def read_asked(folder: Path) -> Asked:
    """What a folder asks.

    Raises:
        WorldsimError: if it was not exported by this suite in this version.
    """
    path = folder / "ask.json"
    found = read_json(path, EXPORT_AGAIN)
    with checking(path, EXPORT_AGAIN):
        if found.get("suite") != SUITE:
            raise ValueError("it is not what `worldsim eval permanence export` writes")
        typed(found, {"version": str, "world": str, "tier": str, "split": str, "width": int, "height": int})
        if found["version"] != VERSION:
            raise ValueError(
                f"it was exported by version {found['version']!r} of the suite; this is version {VERSION!r}, and "
                "versions can't be compared"
            )
        asked = Asked(**{field.name: found[field.name] for field in dataclasses.fields(Asked)})
        if asked.tier not in TIERS or asked.split not in ("test", "private"):
            raise ValueError(f"there is no tier {asked.tier!r} or no split {asked.split!r}")
        if not (1 <= asked.width <= MOST_PIXELS and 1 <= asked.height <= MOST_PIXELS):
            raise ValueError(f"frames can't be {asked.width}x{asked.height}")
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
        asked = read_npz(self._folder / "asks" / name, EXPORT_AGAIN)
        wanted = _ask_of(scene)
        if asked.keys() != wanted.keys() or any(not np.array_equal(asked[key], wanted[key]) for key in wanted):
            path = self._folder / "asks" / name
            raise WorldsimError(f"{path} is not what this version of the world asks. Export again and answer anew.")
        path = self._folder / "answers" / name
        given, size = read_npz(path, "Generate its frames and score again."), scene.context.shape[1:]

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


def _packed(arrays: dict[str, np.ndarray]) -> bytes:
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **arrays)
    return packed.getvalue()
