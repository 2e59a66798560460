"""How Crafter is trained: sizes, settings and lengths. Data only.

At 72x72 a tile is one latent cell, and the view moves by whole tiles: what stays in view is copied from the cell beside
it, and what left the view comes back from the map memory. What comes into view is one of the kinds of a palette.
"""

from worldsim.models.autoencoder import AutoencoderConfig
from worldsim.models.config import WorldModelConfig
from worldsim.models.copy_head import CopyConfig
from worldsim.models.dit import DiTConfig
from worldsim.models.map_memory import MapMemoryConfig
from worldsim.models.memory import MemoryConfig
from worldsim.train.autoencoder import AutoencoderTraining
from worldsim.train.dynamics import DynamicsTraining
from worldsim.train.recipes.base import Recipe

RECIPE = Recipe(
    frames=600_000,
    autoencoder=AutoencoderConfig(channels=8, widths=(64, 128), blocks=2),
    autoencoder_training=AutoencoderTraining(steps=5000, batch=32),
    world_model=WorldModelConfig(
        dit=DiTConfig(patch_size=(3, 3), width=256, heads=4),
        copy=CopyConfig(reach=1, refiner_width=64, from_noise=True, palette=128),
        memory=MemoryConfig(((32, 1), (256, 8), (1024, 16)), read_layers=()),
        view=MapMemoryConfig(rows=7),
        static_threshold=0.1,
        latent_clip=5.0,
    ),
    dynamics_training=DynamicsTraining(
        steps=26_000,
        batch=4,
        lr=1.6e-3,
        pure_noise_prob=0.25,
        noise_samples=4,
        worst_weight=0.2,
        huber=0.05,
        self_rollout_start=0.35,
        self_rollout_max=16,
        divergence_threshold=0.5,
        schedule=(0.0, 0.3, 0.55, 0.8),
        fresh_noise=True,
        event_share=0.3,
        events=("change", "reward"),
        state=0.02,
    ),
)
