"""Experiments on the Doom maze: arms that differ in one thing, each for two million frames seen. Data only.

    worldsim train doom-maze --recipe doom-maze-told-noise --out runs/maze-told-noise

What wins goes into the recipe, and what doesn't pay leaves.
"""

import dataclasses

from worldsim.models.autoencoder import AutoencoderConfig, LargeFrames
from worldsim.models.told_noise import ToldNoiseConfig
from worldsim.train.clip_batches import LongClips
from worldsim.train.decoder import DecoderTraining
from worldsim.train.latent_geometry import LatentGeometry
from worldsim.train.recipes.doom_maze import RECIPE

CONTROL = dataclasses.replace(RECIPE, dynamics_training=dataclasses.replace(RECIPE.dynamics_training, steps=6950))

PREDICTABLE = dataclasses.replace(
    CONTROL,
    autoencoder=dataclasses.replace(RECIPE.autoencoder, channels=8),
    autoencoder_training=dataclasses.replace(
        RECIPE.autoencoder_training, noise=0.4, mask=0.75, geometry=LatentGeometry()
    ),
)
TOLD_NOISE = dataclasses.replace(
    CONTROL,
    world_model=dataclasses.replace(RECIPE.world_model, told_noise=ToldNoiseConfig()),
    dynamics_training=dataclasses.replace(CONTROL.dynamics_training, context_noise=0.6),
)
LONG_CLIPS = dataclasses.replace(
    CONTROL,
    world_model=dataclasses.replace(RECIPE.world_model, dit=dataclasses.replace(RECIPE.world_model.dit, window=64)),
    dynamics_training=dataclasses.replace(CONTROL.dynamics_training, steps=7350, long_clips=LongClips()),
)
FOUR_PASSES = dataclasses.replace(
    CONTROL, dynamics_training=dataclasses.replace(CONTROL.dynamics_training, schedule=(0.0, 0.25, 0.5, 0.75))
)

LARGE = dataclasses.replace(  # of a recording at 128x96: as many tokens as at 64x48
    CONTROL,
    autoencoder=AutoencoderConfig(channels=32, widths=(96, 160), blocks=2, large=LargeFrames()),
    autoencoder_training=dataclasses.replace(RECIPE.autoencoder_training, steps=6000, batch=32),
    decoder_training=DecoderTraining(),
)

ARMS = {
    "control": CONTROL,
    "predictable": PREDICTABLE,
    "told-noise": TOLD_NOISE,
    "long-clips": LONG_CLIPS,
    "four-passes": FOUR_PASSES,
    "large": LARGE,
}
