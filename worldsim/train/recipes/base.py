"""What a recipe is: everything that decides how a world is trained, as data. One file a world holds its `RECIPE`."""

from __future__ import annotations

import dataclasses

from worldsim.data.recording import Recording
from worldsim.models.autoencoder import AutoencoderConfig
from worldsim.models.config import WorldModelConfig
from worldsim.models.retention import Retention
from worldsim.train.autoencoder import AutoencoderTraining
from worldsim.train.dynamics import DynamicsTraining


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
class Finetune:
    """Further trainings of the dynamics, on the permanence suite's probes mixed with free play.

    Attributes:
        frames: least number of frames to record.
        play: share of the episodes that are free play.
        trainings: settings of each, in order.
        longest: most hidden frames of a probe.
    """

    frames: int
    play: float
    trainings: tuple[DynamicsTraining, ...]
    longest: int = 1024


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a world is trained from a recording.

    Attributes:
        frames: least number of frames to record.
        autoencoder, autoencoder_training, dynamics, dynamics_training: sizes and settings.
        temperature: of the noise that frames start from in play, see `worldsim.models.step.WorldStep`.
        ends: added in play to the logit that an episode ends, where the network predicts fewer ends than there are.
        beginnings: whether play starts at the first frames of episodes, and not anywhere in them.
        shown: frames of a start, a past to remember; 0 for as many as the world needs.
        finetune: what comes after the first training, where the permanence suite can stage the world.
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
    finetune: Finetune | None = None
