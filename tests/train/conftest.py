"""A recording and an autoencoder for all tests of training, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
from square import AUTOENCODER, AUTOENCODER_TRAINING, EAGER, record_square

from worldsim.data.latents import LatentDataset
from worldsim.data.recording import Recording
from worldsim.models.autoencoder import Autoencoder
from worldsim.train.autoencoder import train_autoencoder


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A white square that steps right when told to."""
    return record_square(tmp_path_factory.mktemp("recordings") / "square")


@pytest.fixture(scope="session")
def run(recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained autoencoder of it; not to be written to."""
    out = tmp_path_factory.mktemp("run")
    train_autoencoder(recording, out, AUTOENCODER, AUTOENCODER_TRAINING, EAGER)
    return out


@pytest.fixture(scope="session")
def autoencoder(run: Path) -> Autoencoder:
    """That autoencoder."""
    from worldsim.train.checkpoint import load_autoencoder

    return load_autoencoder(run / "autoencoder.safetensors")[0]


@pytest.fixture
def clips(recording: Recording, autoencoder: Autoencoder, run: Path) -> LatentDataset:
    """The recording's latents, to be changed at will."""
    return LatentDataset(recording, autoencoder, run)
