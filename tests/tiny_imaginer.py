"""A tiny imaginer: untrained networks that know a few words and draw the tiny world, exported as they ship."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from painted import AUTOENCODER, DIT

from worldsim.models.reward_model import RewardModel, RewardModelConfig
from worldsim.models.video_autoencoder import VideoAutoencoder
from worldsim.models.video_dit import VideoDiT
from worldsim.runtime.imagine import Imaginer
from worldsim.train import checkpoint

WORDS = ("a", "at", "ball", "night", "red")
ORIGIN = {"source": "random numbers", "licence": "MIT"}


def tiny_networks(words: tuple[str, ...] = WORDS) -> Imaginer:
    """With no weight left at zero: every input matters."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        text = dataclasses.replace(DIT.text, words=words)
        autoencoder, dit = VideoAutoencoder(AUTOENCODER), VideoDiT(dataclasses.replace(DIT, text=text))
        for weight in (*autoencoder.parameters(), *dit.parameters()):
            if not weight.any():
                torch.nn.init.normal_(weight, std=0.05)
    return Imaginer(autoencoder.eval(), dit.eval())


def tiny_reward(words: tuple[str, ...] = WORDS) -> RewardModel:
    """A reward model that knows the same words, with no weight left at zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = RewardModel(RewardModelConfig((8, 16, 32), 2, 1, dataclasses.replace(DIT.text, words=words)))
        for weight in model.parameters():
            if not weight.any():
                torch.nn.init.normal_(weight, std=0.05)
    return model.eval()


def write_tiny_run(folder: Path) -> Path:
    """The same networks as a training leaves them."""
    model = tiny_networks()
    for kind, name, network in (
        ("VideoAutoencoder", "video-autoencoder", model.autoencoder),
        ("VideoDiT", "video-dit", model.dit),
    ):
        header = {"kind": kind, "config": dataclasses.asdict(network.config)}
        checkpoint.write(folder / f"{name}.safetensors", network.state_dict(), header)
    return folder
