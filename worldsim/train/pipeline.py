"""The trainings that make a world, one after the other, by its recipe. Knows no losses."""

from __future__ import annotations

from pathlib import Path

from worldsim.data.recording import Recording
from worldsim.models.autoencoder import Autoencoder
from worldsim.models.config import WorldModelConfig
from worldsim.models.world_model import WorldModel
from worldsim.train.autoencoder import train_autoencoder
from worldsim.train.checkpoint import save_model
from worldsim.train.dynamics import train_dynamics
from worldsim.train.recipes.base import Finetune, Recipe


def train_world(recipe: Recipe, recording: Recording, out: Path) -> tuple[Autoencoder, WorldModel]:
    """Autoencoder, then dynamics; continues from the last checkpoints in `out`."""
    autoencoder: Autoencoder = train_autoencoder(recording, out, recipe.autoencoder, recipe.autoencoder_training)
    config = fit(recipe, recording, autoencoder)
    return autoencoder, train_dynamics(recording, autoencoder, out, config, recipe.dynamics_training)


def fit(recipe: Recipe, recording: Recording, autoencoder: Autoencoder) -> WorldModelConfig:
    """The recipe's world model for a recording and an autoencoder."""
    spec = recording.spec
    shape = autoencoder.config.latent_shape(spec.height, spec.width)
    return recipe.world_model.fit(shape, len(spec.actions), len(spec.state_names))


def finetune(settings: Finetune, probes: Recording, trained: tuple[Autoencoder, WorldModel], out: Path) -> Path:
    """Train on recorded `probes`, beginning with what `train_world` gave; continues from the last checkpoints.

    Returns:
        the folder of the last training: `out` for the first of `settings.trainings`, `out/2` for the second, ...
    """
    autoencoder, dynamics = trained
    for number, training in enumerate(settings.trainings, 1):
        folder = out if number == 1 else out / str(number)
        save_model(folder / "autoencoder.safetensors", autoencoder, probes.spec)
        dynamics = train_dynamics(probes, autoencoder, folder, dynamics.config, training, dynamics, cache=out)
    return folder
