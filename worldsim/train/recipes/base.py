"""What a recipe is: everything that decides how a world is trained, as data. One file a world holds its `RECIPE`."""

from __future__ import annotations

import dataclasses

from worldsim.models.autoencoder import AutoencoderConfig
from worldsim.models.config import WorldModelConfig
from worldsim.train.autoencoder import AutoencoderTraining
from worldsim.train.decoder import DecoderTraining
from worldsim.train.dynamics import DynamicsTraining


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
        autoencoder, autoencoder_training, world_model, dynamics_training: sizes and settings.
        temperature: of the noise that frames start from in play, see `worldsim.models.step.WorldStep`.
        ends: added in play to the logit that an episode ends, where the network predicts fewer ends than there are.
        beginnings: whether play starts at the first frames of episodes, and not anywhere in them.
        shown: frames of a start, a past to remember; 0 for as many as the world needs.
        decoder_training: of the decoder alone, once the autoencoder is trained; None for none.
        finetune: what comes after the first training, where the permanence suite can stage the world.
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
    decoder_training: DecoderTraining | None = None
    finetune: Finetune | None = None
