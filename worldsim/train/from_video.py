"""From a recording without actions to a world model that is steered by codes: five stages in one folder.

    autoencoder -> latent_action -> codes (a recording whose actions are codes) -> world/dynamics -> decoder

Each goes on where it was stopped, also after a kill. Knows no import, export or card.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from worldsim import atomic
from worldsim.data.codes import CodeMotion, auto_keys, code_motion, code_sheet, parse_keys, world_of_codes
from worldsim.data.recording import Recording, relabel
from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import Autoencoder
from worldsim.models.latent_action import LatentActionConfig
from worldsim.models.world_model import WorldModel
from worldsim.train.autoencoder import train_autoencoder
from worldsim.train.checkpoint import digest, save_model
from worldsim.train.decoder import GENERATING, train_decoder
from worldsim.train.dynamics import DynamicsTraining, train_dynamics
from worldsim.train.generated import GeneratedFrames
from worldsim.train.labels import Labels
from worldsim.train.latent_action import FILE as LATENT_ACTION
from worldsim.train.latent_action import (
    LatentActionTraining,
    check_codes,
    infer_codes,
    load_latent_action,
    train_latent_action,
)
from worldsim.train.recipes import video
from worldsim.train.recipes.base import Recipe
from worldsim.train.run import RunRecord
from worldsim.train.trainer import RunOptions

CODES, WORLD, DECODER = "codes", "world", "decoder"
SHARES = {"autoencoder": 0.2, "latent actions": 0.15, "dynamics": 0.55, "decoder": 0.1}  # of the time, if it is given
KEYS = "keys"  # in a recording's origin: names of actions -> codes


@dataclasses.dataclass(frozen=True)
class VideoRecipe:
    """Sizes and settings of the four trainings.

    Attributes:
        world: of the autoencoder, the dynamics and the decoder alone.
        latent_action: fields of `worldsim.models.latent_action.LatentActionConfig`, but for the size of frames.
        keys: "auto", or as `worldsim.data.codes.parse_keys` takes it.
    """

    world: Recipe
    latent_action: Mapping[str, Any]
    latent_action_training: LatentActionTraining
    keys: str = "auto"


RECIPE = VideoRecipe(
    world=video.RECIPE,
    latent_action={"quantizer": "fsq", "past": 2},
    latent_action_training=LatentActionTraining(),
)


@dataclasses.dataclass(frozen=True)
class Steered:
    """What comes out.

    Attributes:
        recording: whose actions are codes.
        autoencoder, world_model: trained.
        folder: of both, as `worldsim export` reads it.
    """

    recording: Recording
    autoencoder: Autoencoder
    world_model: WorldModel
    folder: Path


def train_from_video(
    recording: Recording,
    out: Path,
    recipe: VideoRecipe,
    options: RunOptions,
    say: Callable[[str], None],
    labelled: np.ndarray | None = None,
) -> Steered:
    """Train all of it.

    Args:
        recording: its actions are not looked at, but for those of the labelled steps.
        out: folder of the run.
        options: minutes in it are those of all trainings together.
        say: told what begins.
        labelled: int64 `[n]`, steps whose true actions may be looked at, if any.

    Raises:
        WorldsimError: if the recording is too small, the codes collapsed, or a checkpoint is of other settings.
    """
    check_enough(recording)
    spec = recording.spec
    say("autoencoder")
    world = recipe.world
    part = options.share(SHARES["autoencoder"])
    autoencoder = train_autoencoder(recording, out, world.autoencoder, world.autoencoder_training, part)
    say("latent actions")
    config = LatentActionConfig(spec.height, spec.width, **recipe.latent_action)
    part = options.share(SHARES["latent actions"])
    labels = None if labelled is None else Labels.of(recording, labelled, config.past)
    train_latent_action(recording, out, config, recipe.latent_action_training, part, labels)
    say("codes")
    coded = write_codes(recording, out / LATENT_ACTION, out / CODES, recipe.keys)
    say("dynamics")
    folder = out / WORLD
    training = fit_clips(recording, world.dynamics_training)
    save_model(folder / "autoencoder.safetensors", autoencoder, coded.spec)
    RunRecord("", training.sampling).write(folder)
    shape = autoencoder.config.latent_shape(spec.height, spec.width)
    size = world.world_model.fit(shape, len(coded.spec.actions), len(spec.state_names))
    part = options.share(SHARES["dynamics"])
    world_model = train_dynamics(coded, autoencoder, folder, size, training, cache=out, options=part)
    if world.decoder_training:
        say("decoder")
        part = options.share(SHARES["decoder"])
        minutes, seed = GENERATING * part.minutes, world.decoder_training.seed
        generate = functools.partial(
            GeneratedFrames, coded, autoencoder, world_model, training.sampling, minutes=minutes, seed=seed
        )
        rest = part.share(1 - GENERATING)
        autoencoder = train_decoder(coded, autoencoder, out / DECODER, world.decoder_training, rest, generate)
        save_model(folder / "autoencoder.safetensors", autoencoder, coded.spec)
    return Steered(coded, autoencoder, world_model, folder)


def write_codes(recording: Recording, model: Path, out: Path, keys: str) -> Recording:
    """A recording with the codes that a latent action model reads, with keys that fit what they do; and a sheet of
    examples beside it. The one that is there, if it was made by this model with these keys.

    Raises:
        WorldsimError: if the codes collapsed, the keys are no keys, or it can't be written.
    """
    latent_action = load_latent_action(model)
    count = latent_action.config.codes
    by = {"codes_by": _digest(latent_action), "keys_asked": keys}
    if (out / "zarr.json").exists():
        there = Recording(out)
        if len(there) == len(recording) and by.items() <= there.origin.items():
            return there
    codes = infer_codes(latent_action, recording)
    seen = code_motion(recording, codes, count)
    check_codes(seen.counts)
    names = auto_keys(seen) if keys == "auto" else parse_keys(keys, count)
    spec = world_of_codes(recording.spec, count, names)
    picture = cv2.imencode(".png", code_sheet(recording, seen, spec)[..., ::-1])[1].tobytes()
    atomic.write_bytes(out.with_name(f"{out.name}.png"), picture)
    return relabel(recording, out, spec, codes, {**by, **describe_codes(seen), KEYS: names})


def describe_codes(seen: CodeMotion) -> dict[str, Any]:
    """How often each code is, and how the picture moves after it, for the origin of a recording."""
    return {
        "codes": seen.counts.tolist(),
        "motion": [[round(float(v), 2) for v in motion] for motion in seen.motion],
        "camera": seen.camera,
    }


def check_enough(recording: Recording) -> None:
    """Refuse what nothing could be learned from.

    Raises:
        WorldsimError: with how much is missing.
    """
    held_out = recording.episodes("held-out")
    longest = max((end - start for start, end in held_out), default=0)
    if longest < 16:
        raise WorldsimError(
            f"{recording.path} has {len(recording):,} frames in {len(recording.ends)} clips, too few to learn a world "
            "from: one clip in ten is held out, and has to be 16 frames long. Give more or longer videos, or import "
            "with more frames a second (--fps)."
        )


def fit_clips(recording: Recording, training: DynamicsTraining) -> DynamicsTraining:
    """The training with clips that fit into the episodes of a recording."""
    longest = min(max(end - start for start, end in recording.episodes(split)) for split in ("train", "held-out"))
    return dataclasses.replace(training, length=int(np.clip(longest - 8, 8, training.length)))


def _digest(model: torch.nn.Module) -> str:
    return digest(model.state_dict())[:16]
