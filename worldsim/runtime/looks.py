"""Looks: a world's frames drawn in other styles, by a small network that comes beside the world. Imports no torch.

    looks = Looks.open(world)                    # None if the world has none
    frames = looks.draw(frames, "night")         # uint8 [B, H, W, 3] -> the same, object for object
    look, text = looks.asked("a ball at night")  # "night", "a ball by day"

Only what is drawn changes: the state of play is what it was. Such a folder lies in the world's own, as `looks/`, or
came with the package, under the world's name. It may come from anywhere, so what is read is bounded.

looks.json           format, world, looks, what they are called in a text, size and sha256 of every file
looks.onnx           the graph without weights; looks.safetensors: the weights, float16
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import safetensors.numpy

from worldsim.artifact import ArtifactKind
from worldsim.errors import WorldsimError
from worldsim.runtime.bundle import Bundle
from worldsim.runtime.onnx_check import check_graph
from worldsim.safe_read import parse_safetensors, reading

SHIPPED = Path(__file__).parents[1] / "looks"
FOLDER = "looks"  # in a world's own
GRAPH, WEIGHTS = "looks.onnx", "looks.safetensors"
CELL = 4  # H and W of what is drawn are multiples of it
MOST_LOOKS, MOST_LETTERS, MOST_PHRASES = 64, 40, 100
MOST_BYTES = 8 << 20  # of the weights
AT_ONCE = 32  # frames: 64x64 of them take some 40 MB
LOOKS = ArtifactKind(
    noun="a set of looks",
    manifest="looks.json",
    format=1,
    written_by="worldsim train restyle",
    way_out="Train it again: worldsim train restyle; or install worldsim again if it came with it.",
)


class Looks:
    """The looks of a world.

    Args:
        folder: that `write_looks` wrote.
        threads: of one drawing.

    Attributes:
        world: its name.
        names: of all looks; the first is the world's own, in which frames are drawn as they are.
        phrases: how a text asks for each of them; empty if it can't.

    Raises:
        WorldsimError: if a file is missing, cut or changed, or something is out of bounds.
    """

    def __init__(self, folder: str | Path, threads: int = 1):
        folder = Path(folder)
        manifest = LOOKS.read_manifest(folder)
        with reading(folder / LOOKS.manifest, LOOKS.way_out):
            self.world, files = str(manifest["world"]), dict(manifest["files"])
            self.names = _checked(manifest["looks"])
            self.phrases = _phrases(manifest.get("phrases", {}), self.names)
            used = [str(name) for name in manifest["weights"]]
            if files[WEIGHTS]["bytes"] > MOST_BYTES:
                raise ValueError(f"weights of more than {MOST_BYTES:,} bytes")
        LOOKS.check_files(folder, files)
        graph, path = LOOKS.read_file(folder, GRAPH, files), folder / GRAPH
        with reading(path, LOOKS.way_out):
            check_graph(graph, used)
        stored = parse_safetensors(LOOKS.read_file(folder, WEIGHTS, files), folder / WEIGHTS, LOOKS.way_out)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3  # errors only
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            # Kept: ONNX Runtime reads them where they are.
            self._weights = [onnxruntime.OrtValue.ortvalue_from_numpy(stored[n].astype(np.float32)) for n in used]
            options.add_external_initializers(used, self._weights)
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own errors share no base class but this
            raise _fails(path, "load", error) from error
        self._path = path

    @classmethod
    def open(cls, world: Bundle) -> Looks | None:
        """The looks that a world has: those in its folder, or those that came with the package for it; else None.

        Raises:
            WorldsimError: if there are some, but not whole, or of another world.
        """
        own = world.path / FOLDER
        shipped = {path.parent.name: path.parent for path in SHIPPED.glob(f"*/{LOOKS.manifest}")}
        folder = own if (own / LOOKS.manifest).is_file() else shipped.get(world.spec.name)
        if folder is None:
            return None
        looks = cls(folder)
        if looks.world != world.spec.name:
            raise WorldsimError(f"{folder} has the looks of {looks.world!r}, not of {world.spec.name!r}. Remove it.")
        return looks

    def check(self, look: str) -> str:
        """The look, if there is such a one.

        Raises:
            WorldsimError: if not.
        """
        if look not in self.names:
            raise WorldsimError(f"world {self.world!r} has no look {look!r}; it has {', '.join(self.names)}")
        return look

    def asked(self, text: str) -> tuple[str, str]:
        """The look that a text asks for, "" for none, and the text with the world's own look in its place: in that one
        a picture is like what the world has learned."""
        look_of = {phrase: look for look, phrases in self.phrases.items() for phrase in phrases}
        if not self.phrases.get(self.names[0]):
            return "", text
        longest_first = "|".join(re.escape(phrase) for phrase in sorted(look_of, key=len, reverse=True))
        pattern = re.compile(rf"\b(?:{longest_first})\b", re.IGNORECASE)
        found = pattern.search(text)
        if found is None:
            return "", text
        return look_of[found[0].lower()], pattern.sub(self.phrases[self.names[0]][0], text)

    def draw(self, frames: np.ndarray, look: str) -> np.ndarray:
        """Frames uint8 `[B, H, W, 3]` in a look; in the world's own, they themselves.

        Raises:
            WorldsimError: for a look that there isn't, or frames whose sides are no multiples of 4.
        """
        if self.check(look) == self.names[0]:
            return frames
        shape = frames.shape
        if frames.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or shape[1] % CELL or shape[2] % CELL:
            raise WorldsimError(
                f"frames {frames.dtype} {list(shape)} can't be drawn in a look: give uint8 RGB [B, H, W, 3], H "
                f"and W multiples of {CELL}"
            )
        parts = [frames[i : i + AT_ONCE] for i in range(0, len(frames), AT_ONCE)]
        return np.concatenate([self._draw(part, self.names.index(look) - 1) for part in parts] or [frames])

    def _draw(self, frames: np.ndarray, look: int) -> np.ndarray:
        number = np.full(len(frames), look, np.int64)
        try:
            (drawn,) = self._session.run(None, {"frames": np.ascontiguousarray(frames), "look": number})
        except Exception as error:
            raise _fails(self._path, "run", error) from error
        if drawn.shape != frames.shape or drawn.dtype != np.uint8:
            raise _fails(self._path, "run", "what it draws is no picture of that size")
        return np.asarray(drawn)


def looks_for(world: Bundle, look: str) -> Looks:
    """The looks of a world that has this one.

    Raises:
        WorldsimError: if it has not, or none at all.
    """
    looks = Looks.open(world)
    if looks is None:
        raise WorldsimError(f"world {world.spec.name!r} has no looks, so not {look!r}: leave the look out")
    looks.check(look)
    return looks


def write_looks(
    folder: Path,
    world: str,
    names: Sequence[str],
    phrases: Mapping[str, Sequence[str]],
    graph: tuple[bytes, list[str]],
    weights: dict[str, np.ndarray],
) -> None:
    """Write all files into a folder (of `LOOKS.staging`).

    Args:
        folder: an empty one.
        world: its name.
        names: of the looks, the world's own first.
        phrases: how a text asks for each of them, in lower case.
        graph: ONNX bytes, and the names of the weights that it is handed in that order.
        weights: float16, by name.
    """
    (folder / GRAPH).write_bytes(graph[0])
    (folder / WEIGHTS).write_bytes(safetensors.numpy.save({name: weights[name] for name in graph[1]}))
    LOOKS.write_manifest(
        folder,
        {
            "world": world,
            "looks": list(names),
            "phrases": {look: list(phrases[look]) for look in phrases},
            "weights": graph[1],
        },
    )


def _checked(names: Any) -> tuple[str, ...]:
    looks = tuple(names) if isinstance(names, list) else ()
    if not 2 <= len(looks) <= MOST_LOOKS or len(set(looks)) < len(looks):
        raise ValueError(f"2 to {MOST_LOOKS} looks of different names are read")
    for look in looks:
        if not (isinstance(look, str) and 0 < len(look) <= MOST_LETTERS and look.isprintable()):
            raise ValueError(f"a look named {str(look)[:MOST_LETTERS]!r}")
    return looks


def _phrases(phrases: Any, names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    if not isinstance(phrases, dict) or not set(phrases) <= set(names):
        raise ValueError("phrases of looks that there aren't")
    if not all(isinstance(some, list) for some in phrases.values()) or sum(map(len, phrases.values())) > MOST_PHRASES:
        raise ValueError(f"phrases that are no lists, or more than {MOST_PHRASES}")
    read = {look: tuple(some) for look, some in phrases.items()}
    for phrase in (phrase for some in read.values() for phrase in some):
        if not (isinstance(phrase, str) and 0 < len(phrase) <= MOST_LETTERS and phrase == phrase.lower().strip()):
            raise ValueError(f"a phrase {str(phrase)[:MOST_LETTERS]!r}, where lower-case words are read")
    return read


def _fails(path: Path, verb: str, error: object) -> WorldsimError:
    reason = " ".join(str(error).split())[:300]
    return WorldsimError(f"ONNX Runtime {onnxruntime.__version__} does not {verb} {path} ({reason}). {LOOKS.way_out}")
