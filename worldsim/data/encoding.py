"""A recording's latents, encoded once and kept on disk. What a killed process encoded is not encoded again."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import torch

from worldsim import atomic
from worldsim.data.recording import Recording
from worldsim.device import mixed_precision
from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import Autoencoder, to_pixels
from worldsim.progress import ProgressBar

BATCH = 256  # frames
PART = 128 * BATCH  # frames that are kept, once they are encoded, until all are


def encode_recording(recording: Recording, autoencoder: Autoencoder, cache: Path) -> np.ndarray:
    """Latents of all frames, float16 `[N, C, h, w]`, from `cache` if this autoencoder wrote them there before.

    Raises:
        WorldsimError: if the autoencoder needs a hidden layer and the recording has none, or the disk is full.
    """
    weights = b"".join(v.float().cpu().numpy().tobytes() for v in autoencoder.state_dict().values())
    digest = hashlib.sha256(weights).hexdigest()[:12]
    path = cache / f"latents-{digest}-{len(recording)}.npy"
    if not path.exists():
        if autoencoder.config.hidden_layer and recording.hidden_layer is None:
            raise WorldsimError(
                f"{recording.path} has no hidden layer: it is older, or of a world without one. "
                "Record again, or train a recipe whose autoencoder has no `hidden_layer`."
            )
        parts = path.with_suffix(".parts")
        _encode_parts(recording, autoencoder, parts)
        with atomic.replacing(path, "Give another --out.") as whole:
            latents = _map(whole, len(recording), recording, autoencoder)
            for begin in range(0, len(recording), PART):
                latents[begin : begin + PART] = np.load(_part(parts, begin), mmap_mode="r")
            latents.flush()
        shutil.rmtree(parts)
    return np.load(path, mmap_mode="r")


@torch.no_grad()
def _encode_parts(recording: Recording, autoencoder: Autoencoder, parts: Path) -> None:
    """Write the latents of the parts that are not in the folder `parts` yet."""
    autoencoder.eval()
    device = next(autoencoder.parameters()).device
    missing = [begin for begin in range(0, len(recording), PART) if not _part(parts, begin).exists()]
    done = missing[0] if missing else len(recording)  # parts are written in order
    with ProgressBar("encoding", len(recording), done) as progress, mixed_precision(device):
        for begin in missing:
            end = min(begin + PART, len(recording))
            with atomic.replacing(_part(parts, begin), "Give another --out.") as part:
                latents = _map(part, end - begin, recording, autoencoder)
                for at in range(begin, end, BATCH):
                    encoded = _encode(recording, slice(at, min(at + BATCH, end)), autoencoder, device)
                    latents[at - begin : at - begin + len(encoded)] = encoded
                    progress.update(at + len(encoded))
                latents.flush()


def _encode(recording: Recording, frames: slice, autoencoder: Autoencoder, device: torch.device) -> np.ndarray:
    layers = [recording.frames[frames]]
    if autoencoder.config.hidden_layer and recording.hidden_layer is not None:
        layers.append(recording.hidden_layer[frames])
    pixels = (to_pixels(torch.from_numpy(np.asarray(layer)).to(device)) for layer in layers)
    return autoencoder.encode(*pixels).half().cpu().numpy()


def _part(parts: Path, begin: int) -> Path:
    return parts / f"{begin}.npy"


def _map(path: Path, frames: int, recording: Recording, autoencoder: Autoencoder) -> np.memmap:
    """A new file for the latents of so many frames, for which the disk has room."""
    shape = (frames, *autoencoder.config.latent_shape(recording.spec.height, recording.spec.width))
    latents = np.lib.format.open_memmap(path, "w+", np.float16, shape)
    atomic.reserve(path)
    return latents
