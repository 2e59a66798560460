"""How take cover is trained: sizes, settings and lengths. Data only."""

from worldsim.models.autoencoder import AutoencoderConfig
from worldsim.models.config import WorldModelConfig
from worldsim.models.dit import DiTConfig
from worldsim.train.autoencoder import AutoencoderTraining
from worldsim.train.dynamics import DynamicsTraining
from worldsim.train.recipes.base import Recipe

RECIPE = Recipe(
    frames=250_000,
    autoencoder=AutoencoderConfig(channels=8, widths=(64, 128), blocks=1),
    autoencoder_training=AutoencoderTraining(steps=2400, batch=32),
    world_model=WorldModelConfig(dit=DiTConfig(patch_size=(3, 2)), static_threshold=0.1),
    dynamics_training=DynamicsTraining(
        steps=5800,
        batch=8,
        lr=4e-4,
        worst_weight=0.2,
        self_rollout_start=0.6,
        self_rollout_max=12,
        divergence_threshold=0.4,
        schedule=(0.0, 0.2, 0.4, 0.6, 0.8),
        state=0.3,
    ),
    temperature=1.1,
    ends=0.45,
    beginnings=True,
)
