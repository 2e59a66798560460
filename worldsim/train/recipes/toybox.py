"""How the toy box is trained: sizes, settings and lengths. Data only."""

import dataclasses

from worldsim.models.autoencoder import AutoencoderConfig
from worldsim.models.config import WorldModelConfig
from worldsim.models.copy_head import CopyConfig
from worldsim.models.dit import DiTConfig
from worldsim.models.memory import MemoryConfig
from worldsim.models.motion import MotionConfig
from worldsim.models.view_memory import ViewMemoryConfig
from worldsim.train.autoencoder import AutoencoderTraining
from worldsim.train.dynamics import DynamicsTraining
from worldsim.train.motion import MotionTraining
from worldsim.train.recipes.base import Finetune, Recipe

TRAINING = DynamicsTraining(
    steps=2060,
    batch=8,
    lr=1e-3,
    motion_weight=8.0,
    worst_weight=0.2,
    huber=0.05,
    self_rollout_start=0.55,
    self_rollout_max=24,
    divergence_threshold=0.5,
    schedule=(0.0, 0.3),
    event_share=0.4,
    state=0.2,
    motion=MotionTraining(),
)
RECIPE = Recipe(
    frames=200_000,
    autoencoder=AutoencoderConfig(channels=8, widths=(64,), blocks=2, hidden_layer=True),
    autoencoder_training=AutoencoderTraining(steps=2200, batch=32),
    world_model=WorldModelConfig(
        dit=DiTConfig(patch_size=(4, 4), width=192, heads=3, depth=5, temporal_layers=(1, 3)),
        copy=CopyConfig(reach=2, hidden_layer=True, refiner_width=48),
        memory=MemoryConfig(((48, 1), (256, 8), (1280, 16)), read_layers=()),
        view=ViewMemoryConfig(max_shift=1),
        motion=MotionConfig(width=96, gate_bias=8.0),
        static_threshold=0.1,
        latent_clip=5.0,
    ),
    dynamics_training=TRAINING,
    shown=129,
    finetune=Finetune(
        frames=300_000,
        play=0.15,
        trainings=(
            dataclasses.replace(
                TRAINING, steps=3000, lr=7e-4, self_rollout_start=0.77, event_share=0.65, events=("action",)
            ),
            dataclasses.replace(
                TRAINING,
                steps=1200,
                self_rollout_start=0.3,
                event_share=0.8,
                events=("action", "hidden"),
                motion=None,
                learns=("refiner",),
            ),
            dataclasses.replace(
                TRAINING,
                steps=1000,
                lr=7e-4,
                self_rollout_start=0.35,
                event_share=0.8,
                events=("action", "hidden"),
                motion=None,
            ),
        ),
    ),
)
