"""How Freeway is trained: sizes, settings and lengths. Data only."""

from worldsim.models.autoencoder import AutoencoderConfig
from worldsim.models.config import WorldModelConfig
from worldsim.models.dit import DiTConfig
from worldsim.train.autoencoder import AutoencoderTraining
from worldsim.train.dynamics import DynamicsTraining
from worldsim.train.recipes.base import Recipe

RECIPE = Recipe(
    frames=200_000,
    autoencoder=AutoencoderConfig(channels=8, widths=(64, 128), blocks=1),
    autoencoder_training=AutoencoderTraining(steps=1900, batch=32),
    world_model=WorldModelConfig(dit=DiTConfig(patch_size=(4, 2))),
    dynamics_training=DynamicsTraining(
        steps=5450,
        batch=8,
        lr=4e-4,
        worst_weight=0.2,
        huber=0.05,
        self_rollout_start=0.25,
        self_rollout_max=32,
        divergence_threshold=0.4,
        schedule=(0.0, 0.3),
        event_share=0.3,
        events=("reward",),
    ),
)
