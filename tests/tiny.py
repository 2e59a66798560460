"""A tiny real world: untrained networks of every kind the engine has, with unequal sides and lengths, as a bundle."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

import worldsim
from worldsim.models.autoencoder import Autoencoder, AutoencoderConfig
from worldsim.models.config import WorldModelConfig
from worldsim.models.copy_head import CopyConfig
from worldsim.models.dit import DiTConfig
from worldsim.models.memory import MemoryConfig
from worldsim.models.motion import MotionConfig
from worldsim.models.retention import Retention
from worldsim.models.sampling import Sampling
from worldsim.models.view_memory import ViewMemoryConfig
from worldsim.models.world_model import WorldModel
from worldsim.runtime.export import Parity, export_bundle
from worldsim.spec import Action, WorldSpec

HEIGHT, WIDTH, WINDOW, STARTS = 32, 48, 3, 5
MEMORY = ((4, 1), (16, 3))
SAMPLING = Sampling((0.0, 0.5), fresh_noise=True)
ORIGIN = {"source": "random numbers", "licence": "MIT"}


def tiny_spec() -> WorldSpec:
    """Three actions, 48x32."""
    return WorldSpec(
        name="tiny",
        height=HEIGHT,
        width=WIDTH,
        fps=20.0,
        frame_skip=2,
        actions=(Action("stay"), Action("left", ("left",)), Action("right", ("right",))),
        keys={"left": ("ArrowLeft", "KeyA"), "right": ("ArrowRight", "KeyD")},
        title="A tiny world",
    )


def tiny_config(
    retention: Retention = MEMORY,
    copy_reach: int = 0,
    max_shift: int = 0,
    refiner_width: int = 0,
    ring_columns: int = 0,
    hidden_layer: bool = False,
    read_layers: tuple[int, ...] = (0, 1),
    motion: int = 0,
    from_noise: bool = False,
    shifts: bool = False,
    palette: int = 0,
) -> WorldModelConfig:
    """The smallest model with these parts; 0 and () leave one out."""
    return WorldModelConfig(
        dit=DiTConfig(width=32, heads=2, depth=2, temporal_layers=(0, 1), denoiser_depth=1, window=WINDOW),
        copy=CopyConfig(copy_reach, hidden_layer, refiner_width, from_noise, shifts, palette) if copy_reach else None,
        memory=MemoryConfig(retention, read_layers) if retention else None,
        view=ViewMemoryConfig(max_shift, ring_columns) if max_shift else None,
        motion=MotionConfig(motion) if motion else None,
    )


def tiny_networks(
    config: WorldModelConfig | None = None, seed: int = 0, **parts: Any
) -> tuple[Autoencoder, WorldModel]:
    """Untrained, but with no weight left at zero: every input matters. `parts` as of `tiny_config`."""
    config = config or tiny_config(**parts)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes = AutoencoderConfig(channels=4, widths=(16, 24), blocks=1, hidden_layer=config.layers == 2)
        autoencoder = Autoencoder(sizes)
        _fill(autoencoder)
        autoencoder.standardise(autoencoder.encoder(torch.randn(8, 3, HEIGHT, WIDTH)))  # gathers statistics
        world_model = WorldModel(config.fit(sizes.latent_shape(HEIGHT, WIDTH), 3))
        _fill(world_model)
    return autoencoder.eval(), world_model.eval()


def _fill(network: torch.nn.Module) -> None:
    for weight in network.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.2)


def tiny_clips(count: int, length: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Frames uint8 `[count, length, H, W, 3]` of a coloured wave, and actions int64 `[count, length - 1]`."""
    rng = np.random.default_rng(seed)
    phase = rng.random((count, 1, 1, 1, 3)) * 6 + np.arange(length).reshape(1, -1, 1, 1, 1) * 0.5
    y, x = np.mgrid[:HEIGHT, :WIDTH][..., None] / 8.0
    frames = (127.5 + 127.5 * np.sin(phase + x + 2 * y)).astype(np.uint8)
    return frames, rng.integers(0, 3, (count, length - 1))


def export_tiny_world(out: Path) -> Parity:
    """Write it as a bundle, with `STARTS` starts."""
    return export_bundle(out, *tiny_networks(), tiny_spec(), *tiny_clips(STARTS, WINDOW + 1), ORIGIN, SAMPLING)


def tiny_key() -> str:
    """Names all that decides what the bundle is: the sources it is made by and the versions of what it is made with."""
    digest = hashlib.sha256(f"{torch.__version__} {onnxruntime.__version__}".encode())
    engine = Path(worldsim.__file__).parent
    sources = [engine / "spec.py", *engine.glob("models/*.py")]
    sources += [engine / f"runtime/{name}.py" for name in ("bundle", "export", "torch")]
    for path in (Path(__file__), *sorted(sources)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
