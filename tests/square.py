"""A small world to train on: a white square that steps right when told to. Sizes and settings of seconds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch

from worldsim.data.recording import Episode, Recording, RecordingWriter
from worldsim.models.autoencoder import AutoencoderConfig
from worldsim.models.config import WorldModelConfig
from worldsim.models.copy_head import CopyConfig
from worldsim.models.dit import DiTConfig
from worldsim.models.memory import MemoryConfig
from worldsim.models.motion import MotionConfig
from worldsim.models.view_memory import ViewMemoryConfig
from worldsim.spec import Action, WorldSpec
from worldsim.train.autoencoder import AutoencoderTraining, train_autoencoder
from worldsim.train.checkpoint import read
from worldsim.train.dynamics import DynamicsTraining, train_dynamics
from worldsim.train.motion import MotionTraining
from worldsim.train.trainer import ON_CPU, RunOptions

SPEC = WorldSpec(
    "square", 32, 48, 10, 1, (Action("rest"), Action("right", ("right",))), {"right": ("ArrowRight",)}, ("x",)
)
AUTOENCODER = AutoencoderConfig(channels=4, widths=(16, 16), blocks=1)
AUTOENCODER_TRAINING = AutoencoderTraining(steps=6, batch=4, frames=256, mask=0.5)
SIZE = WorldModelConfig(dit=DiTConfig(width=32, heads=2, depth=2, temporal_layers=(1,), denoiser_depth=1, window=3))
TRAINING = DynamicsTraining(
    steps=8, batch=2, length=6, self_rollout_start=0.25, self_rollout_max=4, divergence_threshold=0.5, huber=0.05
)
EVERYTHING = dataclasses.replace(
    SIZE,
    copy=CopyConfig(reach=1, hidden_layer=True, refiner_width=8, from_noise=True),
    memory=MemoryConfig(((4, 1), (16, 2)), read_layers=(0,)),
    view=ViewMemoryConfig(max_shift=1),
    motion=MotionConfig(width=8),
)
EAGER = dataclasses.replace(ON_CPU, compile=False)


def record_square(path: Path, hidden_layer: bool = False) -> Recording:
    """Ten episodes of 80 frames; the hidden layer, if there is one, is a square in the corner of every seventh."""
    writer = RecordingWriter(path, SPEC, hidden_layer=hidden_layer)
    for seed in range(10):
        actions = np.random.default_rng(seed).integers(0, 2, 80)
        x = np.concatenate([[0], np.cumsum(2 * actions)[:-1]]) % 44
        frames = np.zeros((80, 32, 48, 3), np.uint8)
        for frame, left in zip(frames, x, strict=True):
            frame[12:16, left : left + 4] = 255
        none = np.zeros(80)
        episode = Episode(frames, np.append(actions[:-1], -1), none, none.astype(bool), x[:, None].astype(np.float32))
        if hidden_layer:
            hidden = np.zeros_like(frames)
            hidden[::7, :4, :4] = 255
            episode = dataclasses.replace(episode, hidden_layer=hidden)
        writer.append(episode)
    return Recording(path)


def train_everything(recording: Recording, out: Path, options: RunOptions) -> None:
    """An autoencoder, a motion prior and a world model of every part, of a recording with a hidden layer."""
    two_layers = dataclasses.replace(AUTOENCODER, hidden_layer=True)
    autoencoder = train_autoencoder(recording, out, two_layers, AUTOENCODER_TRAINING, options)
    config = EVERYTHING.fit(autoencoder.config.latent_shape(SPEC.height, SPEC.width), len(SPEC.actions), 1)
    training = dataclasses.replace(
        TRAINING,
        hidden_unknown=0.5,
        event_share=0.5,
        events=("action", "hidden"),
        motion=MotionTraining(steps=8, batch=2, length=2, lead=3),
    )
    train_dynamics(recording, autoencoder, out, config, training, options=options)


def weights(path: Path) -> dict[str, torch.Tensor]:
    """What a file of a training holds."""
    return read(path)[0]
