"""How the toy box is trained: sizes, settings and lengths. Data only."""

import dataclasses

from worldsim.models.autoencoder import AutoencoderConfig
from worldsim.train.autoencoder import AutoencoderTraining
from worldsim.train.dynamics import DynamicsTraining
from worldsim.train.motion import MotionTraining
from worldsim.train.recipes.base import DynamicsSize, Finetune, Recipe

TRAINING = DynamicsTraining(
    steps=2060,
    batch=8,
    rate=1e-3,
    moving=8.0,
    worst=0.2,
    huber=0.05,
    self_rollout_start=0.55,
    self_rollout_max=24,
    lost=0.5,
    schedule=(0.0, 0.3),
    eventful=0.4,
    state=0.2,
    inertia=MotionTraining(),
)
RECIPE = Recipe(
    frames=200_000,
    autoencoder=AutoencoderConfig(channels=8, widths=(64,), blocks=2, behind=True),
    autoencoder_training=AutoencoderTraining(steps=2200, batch=32),
    dynamics=DynamicsSize(
        pack=(4, 4),
        width=192,
        heads=3,
        depth=5,
        look_back=(1, 3),
        copy_reach=2,
        cell_width=48,
        memory=((48, 1), (256, 8), (1280, 16)),
        still=0.1,
        largest=5.0,
        recall=(),
        pan=1,
        inertia=96,
        trust=8.0,
    ),
    dynamics_training=TRAINING,
    shown=129,
    finetune=Finetune(
        frames=300_000,
        play=0.15,
        trainings=(
            dataclasses.replace(
                TRAINING, steps=3000, rate=7e-4, self_rollout_start=0.77, eventful=0.65, events=("action",)
            ),
            dataclasses.replace(
                TRAINING,
                steps=1200,
                self_rollout_start=0.3,
                eventful=0.8,
                events=("action", "behind"),
                inertia=None,
                learns=("cell_layers",),
            ),
            dataclasses.replace(
                TRAINING,
                steps=1000,
                rate=7e-4,
                self_rollout_start=0.35,
                eventful=0.8,
                events=("action", "behind"),
                inertia=None,
            ),
        ),
    ),
)
