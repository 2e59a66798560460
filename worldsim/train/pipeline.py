"""The trainings that make a world, one after the other, by its recipe. Knows no losses."""

from __future__ import annotations

from pathlib import Path

from worldsim.data.recording import Recording
from worldsim.models.autoencoder import Autoencoder
from worldsim.models.config import WorldModelConfig
from worldsim.models.world_model import WorldModel
from worldsim.train import distributed
from worldsim.train.autoencoder import train_autoencoder
from worldsim.train.checkpoint import save_model
from worldsim.train.decoder import train_decoder
from worldsim.train.dynamics import train_dynamics
from worldsim.train.recipes.base import Recipe
from worldsim.train.trainer import RunOptions

AUTOENCODER_SHARE = 0.2  # of the time, where that is given; the others share the rest by their numbers of steps
DECODER_SHARE = 0.1  # besides, where the decoder is trained alone


def train_world(recipe: Recipe, recording: Recording, out: Path, options: RunOptions) -> tuple[Autoencoder, WorldModel]:
    """Autoencoder, its decoder alone if the recipe has that, then dynamics; continues from the last checkpoints in
    `out`."""
    autoencoder = train_autoencoder(
        recording, out, recipe.autoencoder, recipe.autoencoder_training, options.share(AUTOENCODER_SHARE)
    )
    if recipe.decoder_training:
        part = options.share(DECODER_SHARE)
        autoencoder = train_decoder(recording, autoencoder, out, recipe.decoder_training, part)
    config = fit(recipe, recording, autoencoder)
    part = options.share(_dynamics_shares(recipe)[0])
    return autoencoder, train_dynamics(recording, autoencoder, out, config, recipe.dynamics_training, options=part)


def fit(recipe: Recipe, recording: Recording, autoencoder: Autoencoder) -> WorldModelConfig:
    """The recipe's world model for a recording and an autoencoder."""
    spec = recording.spec
    shape = autoencoder.config.latent_shape(spec.height, spec.width)
    return recipe.world_model.fit(shape, len(spec.actions), len(spec.state_names))


def finetune(
    recipe: Recipe, probes: Recording, trained: tuple[Autoencoder, WorldModel], out: Path, options: RunOptions
) -> None:
    """Train on recorded `probes`, beginning with what `train_world` gave, in the `finetune_folders` of `out`; continues
    from the last checkpoints."""
    assert recipe.finetune is not None
    autoencoder, dynamics = trained
    shares = _dynamics_shares(recipe)[1:]
    stages = zip(finetune_folders(recipe, out), recipe.finetune.trainings, shares, strict=True)
    for folder, training, share in stages:
        if distributed.is_main():
            save_model(folder / "autoencoder.safetensors", autoencoder, probes.spec)
        part = options.share(share)
        dynamics = train_dynamics(
            probes, autoencoder, folder, dynamics.config, training, dynamics, cache=out, options=part
        )


def finetune_folders(recipe: Recipe, out: Path) -> list[Path]:
    """The folder of each further training: `out` for the first, `out/2` for the second, ..."""
    trainings = recipe.finetune.trainings if recipe.finetune else ()
    return [out if number == 1 else out / str(number) for number in range(1, len(trainings) + 1)]


def _dynamics_shares(recipe: Recipe) -> list[float]:
    """The share of the time for each training of the dynamics."""
    further = recipe.finetune.trainings if recipe.finetune else ()
    steps = [training.steps for training in (recipe.dynamics_training, *further)]
    return [(1 - AUTOENCODER_SHARE) * n / sum(steps) for n in steps]
