"""Bundles: a world as a folder that can be played. Written whole or not at all, checked when read. Knows no network.

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

import cv2
import numpy as np
import safetensors
import safetensors.numpy

from worldsim.artifact import ArtifactKind
from worldsim.errors import WorldsimError
from worldsim.models.retention import Retention, capacity, check_retention
from worldsim.runtime.legacy import present_name
from worldsim.spec import WorldSpec

GRAPHS = ("step", "prefill", "encoder", "decoder")
MOST_NUMBERS = 1 << 28  # of one player's history: half a gigabyte
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
    """

    window: int
    latents: tuple[int, int, int]
    layers: int
    entry: tuple[int, int, int]
    retention: Retention = ()
    memory: tuple[int, int] | None = None
    pose: int = 0

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
        configs: {"autoencoder", "world_model": fields of their configs, "schedule": the sampler's signal levels,
            "temperature": of the noise that a frame starts from}.
        sizes: of its arrays.
        graph_weights: for each graph the names of the weights it is handed.
        origin: source and licence of the frames it learned from.

    Raises:
        WorldsimError: if a file is missing, cut or changed, or the bundle is of another format.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        manifest = BUNDLE.read_manifest(self.path)
        try:
            self.spec = WorldSpec.from_json(manifest["spec"])
            self.digest: str = manifest["digest"]
            self.configs: dict[str, Any] = manifest["configs"]
            self.sizes = Sizes.from_json(manifest["sizes"])
            graphs = (*GRAPHS, *(["remember"] if self.sizes.memory else []))
            self.graph_weights: dict[str, list[str]] = {graph: list(manifest["graphs"][graph]) for graph in graphs}
            self.origin: dict[str, Any] = manifest["origin"]
            files = dict(manifest["files"])
        except (KeyError, TypeError, ValueError) as error:
            raise WorldsimError(
                f"{self.path / 'world.json'} is not that of a world ({error}). {BUNDLE.way_out}"
            ) from error
        BUNDLE.check_files(self.path, files)
        self._starts = sorted(name for name in files if name.startswith("starts/") and name.endswith(".png"))

    @property
    def card(self) -> str:
        """What was measured, as Markdown; empty before it was."""
        path = self.path / "card.md"
        return path.read_text("utf-8") if path.exists() else ""

    @functools.cached_property
    def starts(self) -> Starts:
        """Where play can begin.

        Raises:
            WorldsimError: if frames, actions and latents do not fit each other or the world.
        """
        tensors = safetensors.numpy.load_file(self.path / "starts/starts.safetensors")
        actions, latents = tensors["actions"], tensors["latents"]
        sheets = [np.asarray(cv2.imread(str(self.path / name)))[..., ::-1] for name in self._starts]
        shape = (actions.shape[0], actions.shape[1] + 1)
        size = (self.spec.height, self.spec.width, 3)
        fits = all(s.shape == (shape[1] * size[0], *size[1:]) for s in sheets) and len(sheets) == shape[0]
        if not fits or latents.shape != (*shape, *self.sizes.latents):
            raise WorldsimError(f"{self.path / 'starts'}: frames, actions and latents do not fit. {BUNDLE.way_out}")
        return Starts(np.stack(sheets).reshape(*shape, *size), actions, latents)

    def weights(self) -> dict[str, np.ndarray]:
        """All weights by name, floats as float32."""
        stored = safetensors.numpy.load_file(self.path / "model.safetensors")
        return {present_name(name): w.astype(np.float32) if w.dtype == np.float16 else w for name, w in stored.items()}


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
    """
    (folder / "starts").mkdir()
    _write_arrays(folder / "model.safetensors", weights)
    for name, (graph, _) in graphs.items():
        (folder / f"{name}.onnx").write_bytes(graph)
    arrays: dict[str, np.ndarray] = {
        "actions": starts.actions.astype(np.int64),
        "latents": starts.latents.astype(np.float16),
    }
    _write_arrays(folder / "starts/starts.safetensors", arrays)
    for i, frames in enumerate(starts.frames):
        _write_png(folder / f"starts/start-{i:02d}.png", frames.reshape(-1, *frames.shape[2:]))
    _write_png(folder / "preview.png", starts.frames[0, -1])
    content = {
        "spec": spec.to_json(),
        "configs": dict(configs),
        "sizes": dataclasses.asdict(sizes),
        "origin": dict(origin),
        "graphs": {name: names for name, (_, names) in graphs.items()},
    }
    BUNDLE.write_manifest(folder, content)


def _write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    # safetensors writes an array's memory as it lies, whatever its strides say
    path.write_bytes(safetensors.numpy.save({name: np.asarray(a, order="C") for name, a in arrays.items()}))


def _write_png(path: Path, frame: np.ndarray) -> None:
    ok, data = cv2.imencode(".png", frame[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert ok
    path.write_bytes(data.tobytes())
