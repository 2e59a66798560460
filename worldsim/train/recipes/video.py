"""How a world is trained from videos: sizes and settings that ask nothing of the game. Data only.

`worldsim from-video` trains by it on codes; `worldsim train dynamics --recipe video` on actions that somebody knows.
"""

from worldsim.models.autoencoder import AutoencoderConfig
from worldsim.models.config import WorldModelConfig
from worldsim.models.copy_head import CopyConfig
from worldsim.models.dit import DiTConfig
from worldsim.train.autoencoder import AutoencoderTraining
from worldsim.train.decoder import DecoderTraining
from worldsim.train.dynamics import DynamicsTraining
from worldsim.train.recipes.base import Recipe

RECIPE = Recipe(
    frames=2_000_000,
    autoencoder=AutoencoderConfig(channels=16, widths=(64, 128), blocks=1, shifts=True),
    autoencoder_training=AutoencoderTraining(steps=4000, batch=32),
    decoder_training=DecoderTraining(steps=6000, interpolation=0.35),
    world_model=WorldModelConfig(
        dit=DiTConfig(patch_size=(2, 2), width=256, heads=4),
        copy=CopyConfig(reach=1, from_noise=True, shifts=True),
        static_threshold=0.1,
        latent_clip=5.0,
    ),
    dynamics_training=DynamicsTraining(
        steps=36_000,
        batch=4,
        lr=1.6e-3,
        pure_noise_prob=0.25,
        noise_samples=4,
        context_noise=0.3,
        huber=0.05,
        self_rollout_start=0.66,
        self_rollout_max=16,
        divergence_threshold=0.5,
        schedule=(0.0, 0.3, 0.6),
        event_share=0.3,
        events=("change",),
    ),
)
