"""Recipes: everything that decides how a shipped world was learned. Data, not code: a new world is a new entry."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from worldsim.data.recording import Recording
from worldsim.models.autoencoder import Autoencoder, AutoencoderConfig
from worldsim.models.config import WorldModelConfig
from worldsim.models.retention import Retention
from worldsim.models.world_model import WorldModel
from worldsim.train.autoencoder import AutoencoderTraining, train_autoencoder
from worldsim.train.checkpoint import save_model
from worldsim.train.dynamics import DynamicsTraining, train_dynamics
from worldsim.train.motion import MotionTraining


@dataclasses.dataclass(frozen=True)
class DynamicsSize:
    """What is chosen of a `WorldModelConfig`; the rest follows from the recording and the autoencoder."""

    pack: tuple[int, int] = (2, 2)
    width: int = 256
    heads: int = 4
    depth: int = 6
    look_back: tuple[int, ...] = (1, 4)
    head_depth: int = 2
    copy_reach: int = 0
    cell_width: int = 0
    window: int = 16
    memory: Retention = ()
    memory_pack: tuple[int, int] = (1, 1)
    recall: tuple[int, ...] = (2, 5)
    pan: int = 0
    around: int = 0
    inertia: int = 0
    trust: float = 0.0
    still: float = 0.0
    largest: float = 0.0

    def config(self, recording: Recording, autoencoder: AutoencoderConfig) -> WorldModelConfig:
        """The whole configuration for a recording."""
        spec = recording.spec
        shape = autoencoder.latent_shape(spec.height, spec.width)
        sizes = len(spec.actions), len(spec.state_names)
        return WorldModelConfig(shape, *sizes, **dataclasses.asdict(self), pictures=2 if autoencoder.behind else 1)


@dataclasses.dataclass(frozen=True)
class Practice:
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
        autoencoder, autoencoder_training, dynamics, dynamics_training: sizes and settings.
        temperature: of the noise that frames start from in play, see `worldsim.models.step.WorldStep`.
        ends: added to the logit that play is over, in play, where fewer ends are foretold than come.
        beginnings: whether play starts where games begin, and not anywhere in them.
        shown: frames that a start shows, a past to remember; 0 for what the world needs.
        practice: what comes after the first training, where the world is one that the suite can stage.
    """

    frames: int
    autoencoder: AutoencoderConfig
    autoencoder_training: AutoencoderTraining
    dynamics: DynamicsSize
    dynamics_training: DynamicsTraining
    temperature: float = 1.0
    ends: float = 0.0
    beginnings: bool = False
    shown: int = 0
    practice: Practice | None = None


TOYBOX = DynamicsTraining(
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
ROOMS = dataclasses.replace(TOYBOX, steps=500, self_rollout_start=1.0, state=0.1, inertia=None)
RECIPES = {
    "atari-freeway": Recipe(
        frames=200_000,
        autoencoder=AutoencoderConfig(channels=8, widths=(64, 128), blocks=1),
        autoencoder_training=AutoencoderTraining(steps=1900, batch=32),
        dynamics=DynamicsSize(pack=(4, 2)),
        dynamics_training=DynamicsTraining(
            steps=5450,
            batch=8,
            rate=4e-4,
            worst=0.2,
            huber=0.05,
            self_rollout_start=0.25,
            self_rollout_max=32,
            lost=0.4,
            schedule=(0.0, 0.3),
            eventful=0.3,
            events=("reward",),
        ),
    ),
    "doom-maze": Recipe(
        frames=470_000,
        autoencoder=AutoencoderConfig(channels=16, widths=(64, 128), blocks=1),
        autoencoder_training=AutoencoderTraining(steps=3000, batch=64, mask=0.5),
        dynamics=DynamicsSize(pack=(2, 2), width=288, heads=6, still=0.2),
        dynamics_training=DynamicsTraining(
            steps=4900, batch=12, self_rollout_start=0.84, self_rollout_max=6, schedule=(0.0, 0.5), state=0.3
        ),
    ),
    "doom-take-cover": Recipe(
        frames=250_000,
        autoencoder=AutoencoderConfig(channels=8, widths=(64, 128), blocks=1),
        autoencoder_training=AutoencoderTraining(steps=2400, batch=32),
        dynamics=DynamicsSize(pack=(3, 2), still=0.1),
        dynamics_training=DynamicsTraining(
            steps=5800,
            batch=8,
            rate=4e-4,
            worst=0.2,
            self_rollout_start=0.6,
            self_rollout_max=12,
            lost=0.4,
            schedule=(0.0, 0.2, 0.4, 0.6, 0.8),
            state=0.3,
        ),
        temperature=1.1,
        ends=0.45,
        beginnings=True,
    ),
    "toybox": Recipe(
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
        dynamics_training=TOYBOX,
        shown=129,
        practice=Practice(
            frames=300_000,
            play=0.15,
            trainings=(
                dataclasses.replace(
                    TOYBOX, steps=3000, rate=7e-4, self_rollout_start=0.77, eventful=0.65, events=("action",)
                ),
                dataclasses.replace(
                    TOYBOX,
                    steps=1200,
                    self_rollout_start=0.3,
                    eventful=0.8,
                    events=("action", "behind"),
                    inertia=None,
                    learns=("cell_layers",),
                ),
                dataclasses.replace(
                    TOYBOX,
                    steps=1000,
                    rate=7e-4,
                    self_rollout_start=0.35,
                    eventful=0.8,
                    events=("action", "behind"),
                    inertia=None,
                ),
            ),
        ),
    ),
    "rooms": Recipe(
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
        dynamics_training=ROOMS,
        shown=129,
        practice=Practice(
            frames=160_000,
            play=0.4,
            trainings=(dataclasses.replace(ROOMS, steps=2400, self_rollout_start=0.75),),
        ),
    ),
}


def learn(recipe: Recipe, recording: Recording, out: Path) -> tuple[Autoencoder, WorldModel]:
    """Autoencoder, then dynamics; goes on from the last checkpoints in `out`."""
    autoencoder: Autoencoder = train_autoencoder(recording, out, recipe.autoencoder, recipe.autoencoder_training)
    config = recipe.dynamics.config(recording, recipe.autoencoder)
    return autoencoder, train_dynamics(recording, autoencoder, out, config, recipe.dynamics_training)


def practise(practice: Practice, probes: Recording, learned: tuple[Autoencoder, WorldModel], out: Path) -> Path:
    """Train what was `learned` on recorded `probes`; goes on from the last checkpoints in `out`, and in folders in it,
    one for each training but the first. Returns where what came out is."""
    autoencoder, dynamics = learned
    for number, training in enumerate(practice.trainings, 1):
        folder = out if number == 1 else out / str(number)
        save_model(folder / "autoencoder.safetensors", autoencoder, probes.spec)
        dynamics = train_dynamics(probes, autoencoder, folder, dynamics.config, training, dynamics, cache=out)
    return folder
