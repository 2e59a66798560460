"""A tiny real world: untrained networks of every kind the engine has, with unequal sides and lengths, as a bundle."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnxruntime
import torch

import worldsim
from worldsim.models.autoencoder import Autoencoder, AutoencoderConfig
from worldsim.models.config import WorldModelConfig
from worldsim.models.retention import Retention
from worldsim.models.world_model import WorldModel
from worldsim.runtime.export import Parity, export_bundle
from worldsim.spec import Action, WorldSpec

HEIGHT, WIDTH, WINDOW, STARTS = 32, 48, 3, 5
MEMORY = ((4, 1), (16, 3))
SCHEDULE = (0.0, 0.5)
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


def tiny_networks(
    seed: int = 0,
    memory: Retention = MEMORY,
    copy_reach: int = 0,
    pan: int = 0,
    cell_width: int = 0,
    around: int = 0,
    behind: bool = False,
    recall: tuple[int, ...] = (0, 1),
    inertia: int = 0,
) -> tuple[Autoencoder, WorldModel]:
    """Untrained, but with no weight left at zero: every input matters."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = AutoencoderConfig(channels=4, widths=(16, 24), blocks=1, behind=behind)
        autoencoder = Autoencoder(config)
        _fill(autoencoder)
        autoencoder.standardise(autoencoder.encoder(torch.randn(8, 3, HEIGHT, WIDTH)))  # gathers statistics
        dynamics = WorldModel(
            WorldModelConfig(
                config.latent_shape(HEIGHT, WIDTH),
                3,
                width=32,
                heads=2,
                depth=2,
                look_back=(0, 1),
                head_depth=1,
                copy_reach=copy_reach,
                cell_width=cell_width,
                window=WINDOW,
                memory=memory,
                memory_pack=(1, 1) if pan else (2, 1),
                recall=recall,
                pan=pan,
                around=around,
                inertia=inertia,
                pictures=2 if behind else 1,
            )
        )
        _fill(dynamics)
    return autoencoder.eval(), dynamics.eval()


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
    return export_bundle(out, *tiny_networks(), tiny_spec(), *tiny_clips(STARTS, WINDOW + 1), ORIGIN, SCHEDULE)


def tiny_key() -> str:
    """Names all that decides what the bundle is: the sources it is made by and the versions of what it is made with."""
    digest = hashlib.sha256(f"{torch.__version__} {onnxruntime.__version__}".encode())
    engine = Path(worldsim.__file__).parent
    sources = [*engine.glob("*.py"), *engine.glob("models/*.py"), *engine.glob("runtime/*.py")]
    for path in (Path(__file__), *sorted(sources)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
