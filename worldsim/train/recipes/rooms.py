"""How the rooms are trained: sizes, settings and lengths. Data only."""

import dataclasses

from worldsim.models.autoencoder import AutoencoderConfig
from worldsim.models.config import WorldModelConfig
from worldsim.models.copy_head import CopyConfig
from worldsim.models.dit import DiTConfig
from worldsim.models.memory import MemoryConfig
from worldsim.models.view_memory import ViewMemoryConfig
from worldsim.train.autoencoder import AutoencoderTraining
from worldsim.train.dynamics import DynamicsTraining
from worldsim.train.recipes.base import Finetune, Recipe

TRAINING = DynamicsTraining(
    steps=500,
    batch=8,
    lr=1e-3,
    motion_weight=8.0,
    worst_weight=0.2,
    huber=0.05,
    self_rollout_start=1.0,
    self_rollout_max=24,
    divergence_threshold=0.5,
    schedule=(0.0, 0.3),
    event_share=0.4,
    state=0.1,
)
RECIPE = Recipe(
    frames=120_000,
    autoencoder=AutoencoderConfig(channels=8, widths=(64,), blocks=2),
    autoencoder_training=AutoencoderTraining(steps=1000, batch=32),
    world_model=WorldModelConfig(
        dit=DiTConfig(patch_size=(4, 4), width=192, heads=3, depth=5, temporal_layers=(1, 3)),
        copy=CopyConfig(reach=2, refiner_width=48),
        memory=MemoryConfig(((24, 1), (256, 8), (1280, 16)), read_layers=(2,)),
        view=ViewMemoryConfig(max_shift=1, ring_columns=60),
        static_threshold=0.1,
    ),
    dynamics_training=TRAINING,
    shown=129,
    finetune=Finetune(
        frames=160_000,
        play=0.4,
        trainings=(dataclasses.replace(TRAINING, steps=2400, self_rollout_start=0.75),),
    ),
)
