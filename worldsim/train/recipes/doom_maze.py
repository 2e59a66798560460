"""How the Doom maze is trained: sizes, settings and lengths. Data only."""

from worldsim.models.autoencoder import AutoencoderConfig
from worldsim.models.config import WorldModelConfig
from worldsim.models.dit import DiTConfig
from worldsim.train.autoencoder import AutoencoderTraining
from worldsim.train.dynamics import DynamicsTraining
from worldsim.train.recipes.base import Recipe

RECIPE = Recipe(
    frames=470_000,
    autoencoder=AutoencoderConfig(channels=16, widths=(64, 128), blocks=1),
    autoencoder_training=AutoencoderTraining(steps=3000, batch=64, mask=0.5),
    world_model=WorldModelConfig(dit=DiTConfig(patch_size=(2, 2), width=288, heads=6), static_threshold=0.2),
    dynamics_training=DynamicsTraining(
        steps=4900, batch=12, self_rollout_start=0.84, self_rollout_max=6, schedule=(0.0, 0.5), state=0.3
    ),
)
