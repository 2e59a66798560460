"""How the rooms are trained: sizes, settings and lengths. Data only."""

import dataclasses

from worldsim.models.autoencoder import AutoencoderConfig
from worldsim.train.autoencoder import AutoencoderTraining
from worldsim.train.dynamics import DynamicsTraining
from worldsim.train.recipes.base import DynamicsSize, Finetune, Recipe

TRAINING = DynamicsTraining(
    steps=500,
    batch=8,
    rate=1e-3,
    moving=8.0,
    worst=0.2,
    huber=0.05,
    self_rollout_start=1.0,
    self_rollout_max=24,
    lost=0.5,
    schedule=(0.0, 0.3),
    eventful=0.4,
    state=0.1,
)
RECIPE = Recipe(
    frames=120_000,
    autoencoder=AutoencoderConfig(channels=8, widths=(64,), blocks=2),
    autoencoder_training=AutoencoderTraining(steps=1000, batch=32),
    dynamics=DynamicsSize(
        pack=(4, 4),
        width=192,
        heads=3,
        depth=5,
        look_back=(1, 3),
        copy_reach=2,
        cell_width=48,
        memory=((24, 1), (256, 8), (1280, 16)),
        recall=(2,),
        pan=1,
        around=60,
        still=0.1,
    ),
    dynamics_training=TRAINING,
    shown=129,
    finetune=Finetune(
        frames=160_000,
        play=0.4,
        trainings=(dataclasses.replace(TRAINING, steps=2400, self_rollout_start=0.75),),
    ),
)
