"""Imaginers: the networks that imagine, as a folder. Written whole or not at all, checked when read. Knows no network.

Like a bundle of a world it may come from anywhere: what is read of it is bounded, and is what its digest stands for.

imaginer.json       format, configs, the worlds that it draws, origin and licence of the data, sha256 of every file
model.safetensors   all weights once, float16
denoise-64x64.onnx picture-64x64.onnx    words and noise to pictures, for each size of picture; without weights
reward-64x64.onnx   how much of the words pictures show, where a reward model came along
card.md             what was measured
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.artifact import ArtifactKind
from worldsim.errors import WorldsimError
from worldsim.models.words import Vocabulary
from worldsim.runtime.bundle import WEIGHTS, check_settings, parse_weights, write_arrays
from worldsim.runtime.onnx_check import check_graph
from worldsim.runtime.sampler_defaults import SamplerDefaults
from worldsim.safe_read import FOREIGN, reading

GRAPHS = ("denoise", "picture")
SCORE = "reward"  # the graph of the reward model
SHIPPED = Path(__file__).parents[1] / "imaginers"
FIRST = "toybox"  # of the shipped ones
MOST_VOCABULARY = 1 << 16  # words
LONGEST_WORD = 64  # letters
MOST_SIDE = 256  # pixels of a picture
MOST_TOKENS = 1 << 16  # of a picture
IMAGINER = ArtifactKind(
    noun="an imaginer",
    manifest="imaginer.json",
    format=2,
    written_by="worldsim export imaginer",
    way_out="Export it again: worldsim export imaginer; or install worldsim again if it came with it.",
)


@dataclasses.dataclass(frozen=True)
class PictureSize:
    """Of the pictures that are painted for a world.

    Attributes:
        height, width: pixels; at least those of the world's frames.
        tokens: S. token_width: V, numbers of a token.
        frame_height, frame_width: pixels of the world's frames, the middle of the pictures; 0 for all of them.
    """

    height: int
    width: int
    tokens: int
    token_width: int
    frame_height: int = 0
    frame_width: int = 0

    @property
    def name(self) -> str:
        """As it is in the names of graphs."""
        return f"{self.width}x{self.height}"

    def frame(self, pictures: np.ndarray) -> np.ndarray:
        """The world's frames in pictures `[..., height, width, 3]`."""
        height, width = self.frame_height or self.height, self.frame_width or self.width
        top, left = (self.height - height) // 2, (self.width - width) // 2
        return pictures[..., top : top + height, left : left + width, :]


class ImaginerBundle:
    """Networks that imagine, on disk, checked as a whole when opened.

    Attributes:
        path: its folder. name: of that folder.
        digest: names it: sha256 over everything in it but the card.
        configs: {"autoencoder", "dit": fields of their configs}, and "reward" where it can tell which picture is best.
        graphs: kinds of them, there for each size of picture.
        worlds: names of the worlds whose pictures it draws, the first one first, and the size of those.
        vocabulary: the words it knows.
        defaults: how it is sampled if nothing else is asked for.
        graph_weights: for each graph the names of the weights it is handed.
        origin: source and licence of the clips it learned from.

    Raises:
        WorldsimError: if a file is missing, cut or changed, a number is out of bounds, or it is of another format. So
            do the methods, if the folder was replaced after it was opened.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.name = self.path.name
        manifest = IMAGINER.read_manifest(self.path)
        try:
            self.digest: str = manifest["digest"]
            self.configs: dict[str, Any] = dict(manifest["configs"])
            check_settings(self.configs)
            self.vocabulary = Vocabulary(_words(self.configs["dit"]["text"]["words"]))
            self.worlds = {str(name): _size(size) for name, size in manifest["worlds"].items()}
            self.defaults = SamplerDefaults(**manifest.get("sampler", {}))
            if not self.worlds:
                raise ValueError("it draws no world")
            self.graphs = (*GRAPHS, SCORE) if self.scores else GRAPHS
            sizes = sorted({size.name for size in self.worlds.values()})
            names = [f"{graph}-{size}" for size in sizes for graph in self.graphs]
            self.graph_weights: dict[str, list[str]] = {name: list(manifest["graphs"][name]) for name in names}
            self.origin: dict[str, Any] = dict(manifest["origin"])
            self._files: dict[str, Any] = dict(manifest["files"])
            for name in (WEIGHTS, *(f"{graph}.onnx" for graph in names)):
                if name not in self._files:
                    raise ValueError(f"it lists no {name}")
        except FOREIGN as error:
            reason = " ".join(str(error).split())[:300]
            raise WorldsimError(
                f"{self.path / IMAGINER.manifest} is not that of an imaginer ({reason}). {IMAGINER.way_out}"
            ) from error
        IMAGINER.check_files(self.path, self._files)

    def size_of(self, world: str) -> PictureSize:
        """Of the pictures for a world.

        Raises:
            WorldsimError: if it doesn't draw that world.
        """
        if world not in self.worlds:
            raise WorldsimError(
                f"imaginer {self.name!r} draws {', '.join(self.worlds)}, not {world!r}: play {self.world}, or give "
                "another imaginer"
            )
        return self.worlds[world]

    @property
    def scores(self) -> bool:
        """Whether it can tell which of several pictures is the best."""
        return "reward" in self.configs

    @property
    def world(self) -> str:
        """The world that it draws if none is named."""
        return next(iter(self.worlds))

    def weights(self) -> dict[str, np.ndarray]:
        """All weights by name, floats as float32."""
        return parse_weights(*self._read(WEIGHTS))

    def graph(self, name: str) -> bytes:
        """One of the ONNX graphs, one that runs nothing but ONNX's own operators on what it is handed."""
        data, path, way_out = self._read(f"{name}.onnx")
        with reading(path, way_out):
            check_graph(data, self.graph_weights[name])
        return data

    def _read(self, name: str) -> tuple[bytes, Path, str]:
        return IMAGINER.read_file(self.path, name, self._files), self.path / name, IMAGINER.way_out


def shipped_imaginers() -> list[str]:
    """Names of the imaginers that came with the package."""
    names = (path.parent.name for path in SHIPPED.glob(f"*/{IMAGINER.manifest}"))
    return sorted(names, key=lambda name: (name != FIRST, name))


def open_imaginer(name: str | Path = "", world: str = "", text: str = "") -> ImaginerBundle:
    """Open an imaginer.

    Args:
        name: of a shipped one, or the folder of one; if empty, the shipped one that fits best.
        world, text: what is to be painted, see `fitting_imaginer`.

    Raises:
        WorldsimError: if there is none, or it is not whole.
    """
    names = shipped_imaginers()
    if not str(name):
        if not names:
            raise WorldsimError(
                "no imaginer is installed, which paints pictures of words. Train one (docs/imagine.md), export it with "
                "worldsim export imaginer, and give its folder: --imaginer PATH"
            )
        return fitting_imaginer([ImaginerBundle(SHIPPED / shipped) for shipped in names], world, text)
    if str(name) in names:
        return ImaginerBundle(SHIPPED / str(name))
    if not Path(name).exists():
        there_are = ", ".join(names) or "(none shipped)"
        raise WorldsimError(f"no imaginer {str(name)!r}: give one of {there_are}, or the folder of one")
    return ImaginerBundle(name)


def fitting_imaginer(imaginers: Sequence[ImaginerBundle], world: str, text: str) -> ImaginerBundle:
    """Of those that draw a world, or of all if none does: the first that knows the most words of a text."""
    drawing = [imaginer for imaginer in imaginers if world in imaginer.worlds]
    return min(drawing or imaginers, key=lambda imaginer: len(imaginer.vocabulary.unknown(text)))


def write_imaginer(
    folder: Path,
    *,
    configs: Mapping[str, Any],
    worlds: Mapping[str, PictureSize],
    origin: Mapping[str, Any],
    weights: Mapping[str, np.ndarray],
    graphs: Mapping[str, tuple[bytes, list[str]]],
    defaults: SamplerDefaults,
) -> None:
    """Write all files of an imaginer into a folder (of `IMAGINER.staging`).

    Args:
        folder: an empty one.
        configs, worlds, origin, defaults: as `ImaginerBundle` has them.
        weights: as they are stored, float16 where that is enough.
        graphs: by name the ONNX bytes of each, and the names of the weights it is handed.
    """
    write_arrays(folder / WEIGHTS, weights)
    for name, (graph, _) in graphs.items():
        (folder / f"{name}.onnx").write_bytes(graph)
    content = {
        "configs": dict(configs),
        "worlds": {name: dataclasses.asdict(size) for name, size in worlds.items()},
        "origin": dict(origin),
        "sampler": dataclasses.asdict(defaults),
        "graphs": {name: names for name, (_, names) in graphs.items()},
    }
    IMAGINER.write_manifest(folder, content)


def _words(words: Any) -> list[str]:
    if len(words) > MOST_VOCABULARY or not all(isinstance(w, str) and 0 < len(w) <= LONGEST_WORD for w in words):
        raise ValueError(f"a vocabulary of more than {MOST_VOCABULARY:,} words, or of something else")
    return list(words)


def _size(size: Mapping[str, Any]) -> PictureSize:
    found = PictureSize(**size)
    most = (MOST_SIDE, MOST_SIDE, MOST_TOKENS, MOST_TOKENS, found.height, found.width)
    least = (1, 1, 1, 1, 0, 0)
    for value, low, high in zip(dataclasses.astuple(found), least, most, strict=True):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"a size of {value!r}: it must be a whole number from {low} to {high:,}")
    return found
