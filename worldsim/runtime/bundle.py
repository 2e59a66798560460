"""Bundles: a world as a folder that can be played. Written whole or not at all, checked when read. Knows no network.

A bundle may come from anywhere: what is read of it is bounded, and is what its digest stands for, also after the folder
was replaced.

world.json          format, spec, configs, sizes, origin and licence of the data, size and sha256 of every file
model.safetensors   all weights once, float16
step.onnx prefill.onnx encoder.onnx decoder.onnx    graphs without weights; with memory, remember.onnx too
starts/             places to begin: start-00.png (frames, top to bottom), starts.safetensors (actions, latents)
preview.png         for the gallery
card.md             what was measured; the one file that may change
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from worldsim.artifact import ArtifactKind
from worldsim.errors import WorldsimError
from worldsim.models.retention import Retention, capacity, check_retention
from worldsim.models.sampling import MOST_PASSES, Sampling
from worldsim.png import encode_png
from worldsim.runtime.legacy import present_name
from worldsim.runtime.onnx_check import check_graph
from worldsim.safe_read import FOREIGN, parse_png, parse_safetensors, read_bytes, reading
from worldsim.spec import WorldSpec

GRAPHS = ("step", "prefill", "encoder", "decoder")
WEIGHTS, STARTS, PREVIEW = "model.safetensors", "starts/starts.safetensors", "preview.png"
MOST_NUMBERS = 1 << 28  # of one player's history: half a gigabyte
MOST_SETTING = 1_000_000  # any whole number of a config
START_PIXELS = 1 << 29  # of the frames of all starts together
CARD_BYTES = 1 << 22
SHIPPED = Path(__file__).parents[1] / "worlds"
BUNDLE = ArtifactKind(
    noun="a world",
    manifest="world.json",
    format=3,
    written_by="worldsim export",
    way_out="Export the world again, or install worldsim again if it came with it.",
)


@dataclasses.dataclass(frozen=True, eq=False)
class Starts:
    """Places to begin: context windows from episodes that were never trained on.

    Attributes:
        frames: uint8 `[n, T, H, W, 3]`.
        actions: int64 `[n, T-1]`, those taken between them.
        latents: float16 `[n, T, C, h, w]`.
    """

    frames: np.ndarray
    actions: np.ndarray
    latents: np.ndarray

    def __len__(self) -> int:
        """n."""
        return len(self.frames)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Of a world's arrays, for whoever runs it.

    Attributes:
        window: W, how many past frames a step attends to.
        latents: (C, h, w). layers: of a latent frame; of two, the second is the hidden layer.
        entry: (L, M, F), cache entry of one frame.
        retention: which older frames stay in memory; () without memory.
        memory: (Q, U), memory entry of one frame; None without memory.
        pose: P, numbers of the poses that go with it; 0 without a view memory.
        draws: R, how many draws of noise a frame takes.
    """

    window: int
    latents: tuple[int, int, int]
    layers: int
    entry: tuple[int, int, int]
    retention: Retention = ()
    memory: tuple[int, int] | None = None
    pose: int = 0
    draws: int = 1

    @property
    def noise(self) -> tuple[int, int, int]:
        """(R C, h, w): of the noise that a frame takes."""
        c, h, w = self.latents
        return self.draws * c, h, w

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Sizes:
        """What `dataclasses.asdict` and JSON made of one.

        Raises:
            WorldsimError: if a number is missing, of the wrong kind or out of bounds.
        """

        def count(value: Any, most: int, least: int = 1) -> int:
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise WorldsimError(f"a size of {value!r}: it must be a whole number from {least} to {most}")
            return value

        c, h, w = (count(size, 4096) for size in data["latents"])
        depth, tokens, features = (count(size, 65_536) for size in data["entry"])
        retention = tuple((count(age, 10**6), count(every, 10**6)) for age, every in data["retention"])
        check_retention(retention)
        memory = None
        if data["memory"] is not None:
            slots, numbers = (count(size, 65_536) for size in data["memory"])
            memory = slots, numbers
        sizes = cls(
            window=count(data["window"], 4096),
            latents=(c, h, w),
            layers=count(data["layers"], 2),
            entry=(depth, tokens, features),
            retention=retention,
            memory=memory,
            pose=count(data["pose"], 64, least=0),
            draws=count(data.get("draws", 1), MOST_PASSES),  # there was one before there could be more
        )
        floats = sizes.window * depth * tokens * features + capacity(retention) * (math.prod(memory) if memory else 0)
        if max(floats, c * h * w) > MOST_NUMBERS:
            raise WorldsimError(f"{floats:,} numbers of history a player: at most {MOST_NUMBERS:,} are read")
        return sizes


class Bundle:
    """A world on disk, checked as a whole when opened.

    Attributes:
        path: its folder.
        spec: the world.
        digest: names it: sha256 over everything in it but the card.
        configs: {"autoencoder", "world_model": fields of their configs, and those of `sampling`}.
        sampling: how a frame is sampled.
        sizes: of its arrays.
        graph_weights: for each graph the names of the weights it is handed.
        origin: source and licence of the frames it learned from.

    Raises:
        WorldsimError: if a file is missing, cut or changed, a number is out of bounds, or the bundle is of another
            format. So do the methods, if the folder was replaced after the bundle was opened.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        manifest = BUNDLE.read_manifest(self.path)
        try:
            self.spec = WorldSpec.from_json(manifest["spec"])
            self.digest: str = manifest["digest"]
            self.configs: dict[str, Any] = dict(manifest["configs"])
            check_settings(self.configs)
            self.sampling = Sampling.from_json(self.configs)
            self.sizes = Sizes.from_json(manifest["sizes"])
            graphs = (*GRAPHS, *(["remember"] if self.sizes.memory else []))
            self.graph_weights: dict[str, list[str]] = {graph: list(manifest["graphs"][graph]) for graph in graphs}
            self.origin: dict[str, Any] = dict(manifest["origin"])
            self._files: dict[str, Any] = dict(manifest["files"])
            for name in (WEIGHTS, STARTS, PREVIEW, *(f"{graph}.onnx" for graph in graphs)):
                if name not in self._files:
                    raise ValueError(f"it lists no {name}")
        except FOREIGN as error:
            reason = " ".join(str(error).split())[:300]
            raise WorldsimError(
                f"{self.path / 'world.json'} is not that of a world ({reason}). {BUNDLE.way_out}"
            ) from error
        BUNDLE.check_files(self.path, self._files)

    @property
    def card(self) -> str:
        """What was measured, as Markdown; empty before it was."""
        path = self.path / "card.md"
        return read_bytes(path, CARD_BYTES, "Write it again: worldsim card.").decode() if path.exists() else ""

    @property
    def preview(self) -> np.ndarray:
        """A picture of the world, uint8 `[H, W, 3]`."""
        return parse_png(*self._read(PREVIEW))

    @functools.cached_property
    def starts(self) -> Starts:
        """Where play can begin; at least one.

        Raises:
            WorldsimError: if frames, actions and latents do not fit each other or the world.
        """
        data, path, way_out = self._read(STARTS)
        tensors = parse_safetensors(data, path, way_out)
        size = (self.spec.height, self.spec.width, 3)
        with reading(path, way_out):
            actions, latents = tensors["actions"], tensors["latents"]
            count, length = actions.shape[0], actions.shape[1] + 1
            pixels = length * size[0] * size[1]
            if not 0 < count * pixels <= START_PIXELS:
                raise ValueError(f"{count:,} starts of {length:,} frames; at most {START_PIXELS:,} pixels are read")
            if latents.shape != (count, length, *self.sizes.latents) or not np.isfinite(latents).all():
                raise ValueError("its latents are not those of this world")
            if actions.dtype.kind != "i" or not ((actions >= 0) & (actions < len(self.spec.actions))).all():
                raise ValueError("its actions are not those of this world")
            sheets = [parse_png(*self._read(f"starts/start-{i:02d}.png"), pixels) for i in range(count)]
            frames = np.stack(sheets).reshape(count, length, *size)
        return Starts(frames, actions.astype(np.int64), latents.astype(np.float16))

    def weights(self) -> dict[str, np.ndarray]:
        """All weights by name, floats as float32."""
        return {present_name(name): weight for name, weight in parse_weights(*self._read(WEIGHTS)).items()}

    def graph(self, name: str) -> bytes:
        """One of the ONNX graphs, one that runs nothing but ONNX's own operators on what it is handed."""
        data, path, way_out = self._read(f"{name}.onnx")
        with reading(path, way_out):
            check_graph(data, self.graph_weights[name])
        return data

    def _read(self, name: str) -> tuple[bytes, Path, str]:
        """A file as it was when the bundle was opened, its path, and what to do if there is something wrong with it."""
        return BUNDLE.read_file(self.path, name, self._files), self.path / name, BUNDLE.way_out


def check_settings(settings: Any) -> None:
    """Make sure that no number of a config, however deep in it, asks for more than any network needs.

    Raises:
        ValueError: for one that does.
    """
    if isinstance(settings, dict):
        settings = list(settings.values())
    if isinstance(settings, list):
        for setting in settings:
            check_settings(setting)
    elif isinstance(settings, (int, float)) and not abs(settings) <= MOST_SETTING:
        raise ValueError(f"a setting of {settings}: at most {MOST_SETTING:,}")


def shipped_worlds() -> list[str]:
    """Names of the worlds that came with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob("*/world.json"))


def open_world(world: str | Path) -> Bundle:
    """Open a world.

    Args:
        world: a shipped world's name, or the folder of a bundle.

    Raises:
        WorldsimError: if there is none, or it is not whole.
    """
    names = shipped_worlds()
    if str(world) in names:
        return Bundle(SHIPPED / str(world))
    if not Path(world).exists():
        raise WorldsimError(f"no world {str(world)!r}: give one of {', '.join(names) or '(none shipped)'}, or a folder")
    return Bundle(world)


def write_bundle(
    folder: Path,
    *,
    spec: WorldSpec,
    configs: Mapping[str, Any],
    sizes: Sizes,
    origin: Mapping[str, Any],
    weights: Mapping[str, np.ndarray],
    graphs: Mapping[str, tuple[bytes, list[str]]],
    starts: Starts,
) -> None:
    """Write all files of a bundle into a folder (of `BUNDLE.staging`).

    Args:
        folder: an empty one.
        spec: the world.
        configs, sizes, origin: as `Bundle` has them.
        weights: as they are stored, float16 where that is enough.
        graphs: for each of `GRAPHS` its ONNX bytes and the names of the weights it is handed.
        starts: at least one.

    Raises:
        WorldsimError: for more starts than are read again.
    """
    if math.prod(starts.frames.shape[:4]) > START_PIXELS:
        raise WorldsimError(
            f"{len(starts)} starts of {starts.frames.shape[1]} frames are more than the {START_PIXELS:,} pixels that "
            "are read again. Give fewer --starts, or a smaller --shown."
        )
    (folder / "starts").mkdir()
    write_arrays(folder / WEIGHTS, weights)
    for name, (graph, _) in graphs.items():
        (folder / f"{name}.onnx").write_bytes(graph)
    arrays: dict[str, np.ndarray] = {
        "actions": starts.actions.astype(np.int64),
        "latents": starts.latents.astype(np.float16),
    }
    write_arrays(folder / STARTS, arrays)
    for i, frames in enumerate(starts.frames):
        (folder / f"starts/start-{i:02d}.png").write_bytes(encode_png(frames.reshape(-1, *frames.shape[2:])))
    (folder / PREVIEW).write_bytes(encode_png(starts.frames[0, -1]))
    content = {
        "spec": spec.to_json(),
        "configs": dict(configs),
        "sizes": dataclasses.asdict(sizes),
        "origin": dict(origin),
        "graphs": {name: names for name, (_, names) in graphs.items()},
    }
    BUNDLE.write_manifest(folder, content)


def parse_weights(data: bytes, path: Path, way_out: str) -> dict[str, np.ndarray]:
    """All weights of a safetensors file that was read from `path`, by name, floats as float32.

    Raises:
        WorldsimError: if it is cut, or holds something else than finite numbers.
    """
    stored = parse_safetensors(data, path, way_out)
    for name, weight in stored.items():
        if weight.dtype.kind not in "fi" or not np.isfinite(weight).all():
            raise WorldsimError(f"{path}: weight {name!r} is {weight.dtype}, or not finite. {way_out}")
    return {name: w.astype(np.float32) if w.dtype == np.float16 else w for name, w in stored.items()}


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name as a safetensors file."""
    # safetensors writes an array's memory as it lies, whatever its strides say
    path.write_bytes(safetensors.numpy.save({name: np.asarray(a, order="C") for name, a in arrays.items()}))
