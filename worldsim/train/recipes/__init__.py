"""Recipes: everything that decides how a shipped world was learned. Data, not code: a new world is a new entry."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from worldsim.data.recording import Recording
from worldsim.models.autoencoder import Autoencoder, AutoencoderConfig
from worldsim.models.config import WorldModelConfig
from worldsim.models.copy_head import CopyConfig
from worldsim.models.dit import DiTConfig
from worldsim.models.memory import MemoryConfig
from worldsim.models.motion import MotionConfig
from worldsim.models.view_memory import ViewMemoryConfig
from worldsim.models.world_model import WorldModel
from worldsim.train.autoencoder import AutoencoderTraining, train_autoencoder
from worldsim.train.checkpoint import save_model
from worldsim.train.dynamics import DynamicsTraining, train_dynamics
from worldsim.train.motion import MotionTraining


@dataclasses.dataclass(frozen=True)
class Finetune:
    """More trainings of the dynamics, on the permanence suite's probes among free play.

    Attributes:
        frames: frames to record at least.
        play: share of the episodes that are free play.
        trainings: settings, one after the other.
        longest: hidden frames at most.
    """

    frames: int
    play: float
    trainings: tuple[DynamicsTraining, ...]
    longest: int = 1024


@dataclasses.dataclass(frozen=True)
class Recipe:
    """From a real world to a learned one.

    Attributes:
        frames: frames to record at least.
        autoencoder, autoencoder_training, world_model, dynamics_training: sizes and settings.
        temperature: of the noise that frames start from in play, see `worldsim.models.step.WorldStep`.
        ends: added to the logit that play is over, in play, where fewer ends are foretold than come.
        beginnings: whether play starts where games begin, and not anywhere in them.
        shown: frames that a start shows, a past to remember; 0 for what the world needs.
        finetune: what comes after the first training, where the world is one that the suite can stage.
    """

    frames: int
    autoencoder: AutoencoderConfig
    autoencoder_training: AutoencoderTraining
    world_model: WorldModelConfig
    dynamics_training: DynamicsTraining
    temperature: float = 1.0
    ends: float = 0.0
    beginnings: bool = False
    shown: int = 0
    finetune: Finetune | None = None


TOYBOX = DynamicsTraining(
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
ROOMS = dataclasses.replace(TOYBOX, steps=500, self_rollout_start=1.0, state=0.1, motion=None)
RECIPES = {
    "atari-freeway": Recipe(
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
    ),
    "doom-maze": Recipe(
        frames=470_000,
        autoencoder=AutoencoderConfig(channels=16, widths=(64, 128), blocks=1),
        autoencoder_training=AutoencoderTraining(steps=3000, batch=64, mask=0.5),
        world_model=WorldModelConfig(dit=DiTConfig(patch_size=(2, 2), width=288, heads=6), static_threshold=0.2),
        dynamics_training=DynamicsTraining(
            steps=4900, batch=12, self_rollout_start=0.84, self_rollout_max=6, schedule=(0.0, 0.5), state=0.3
        ),
    ),
    "doom-take-cover": Recipe(
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
    ),
    "toybox": Recipe(
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
        dynamics_training=TOYBOX,
        shown=129,
        finetune=Finetune(
            frames=300_000,
            play=0.15,
            trainings=(
                dataclasses.replace(
                    TOYBOX, steps=3000, lr=7e-4, self_rollout_start=0.77, event_share=0.65, events=("action",)
                ),
                dataclasses.replace(
                    TOYBOX,
                    steps=1200,
                    self_rollout_start=0.3,
                    event_share=0.8,
                    events=("action", "hidden"),
                    motion=None,
                    learns=("refiner",),
                ),
                dataclasses.replace(
                    TOYBOX,
                    steps=1000,
                    lr=7e-4,
                    self_rollout_start=0.35,
                    event_share=0.8,
                    events=("action", "hidden"),
                    motion=None,
                ),
            ),
        ),
    ),
    "rooms": Recipe(
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
        dynamics_training=ROOMS,
        shown=129,
        finetune=Finetune(
            frames=160_000,
            play=0.4,
            trainings=(dataclasses.replace(ROOMS, steps=2400, self_rollout_start=0.75),),
        ),
    ),
}


def learn(recipe: Recipe, recording: Recording, out: Path) -> tuple[Autoencoder, WorldModel]:
    """Autoencoder, then dynamics; goes on from the last checkpoints in `out`."""
    autoencoder: Autoencoder = train_autoencoder(recording, out, recipe.autoencoder, recipe.autoencoder_training)
    config = fit(recipe, recording, autoencoder)
    return autoencoder, train_dynamics(recording, autoencoder, out, config, recipe.dynamics_training)


def fit(recipe: Recipe, recording: Recording, autoencoder: Autoencoder) -> WorldModelConfig:
    """The recipe's world model for a recording and an autoencoder."""
    spec = recording.spec
    shape = autoencoder.config.latent_shape(spec.height, spec.width)
    return recipe.world_model.fit(shape, len(spec.actions), len(spec.state_names))


def finetune(settings: Finetune, probes: Recording, learned: tuple[Autoencoder, WorldModel], out: Path) -> Path:
    """Train what was `learned` on recorded `probes`; goes on from the last checkpoints in `out`, and in folders in it,
    one for each training but the first. Returns the folder of the last."""
    autoencoder, world_model = learned
    for number, training in enumerate(settings.trainings, 1):
        folder = out if number == 1 else out / str(number)
        save_model(folder / "autoencoder.safetensors", autoencoder, probes.spec)
        world_model = train_dynamics(probes, autoencoder, folder, world_model.config, training, world_model, cache=out)
    return folder
