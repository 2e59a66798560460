"""A tiny imaginer: untrained networks that know a few words and draw the tiny world, exported as they ship."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from painted import AUTOENCODER, DIT

from worldsim.models.clip_towers import ClipTowers, ClipTowersConfig
from worldsim.models.video_autoencoder import VideoAutoencoder
from worldsim.models.video_dit import VideoDiT
from worldsim.runtime.imagine import Imaginer
from worldsim.train import checkpoint

WORDS = ("a", "at", "ball", "night", "red")
ORIGIN = {"source": "random numbers", "licence": "MIT"}


def tiny_networks() -> Imaginer:
    """With no weight left at zero: every input matters."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        text = dataclasses.replace(DIT.text, words=WORDS)
        autoencoder, dit = VideoAutoencoder(AUTOENCODER), VideoDiT(dataclasses.replace(DIT, text=text))
        for weight in (*autoencoder.parameters(), *dit.parameters()):
            if not weight.any():
                torch.nn.init.normal_(weight, std=0.05)
    return Imaginer(autoencoder.eval(), dit.eval())


def tiny_towers(words: tuple[str, ...] = WORDS) -> ClipTowers:
    """Towers that know the same words."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        text = dataclasses.replace(DIT.text, words=words)
        config = ClipTowersConfig(AUTOENCODER.channels, width=32, heads=2, depth=1, embedding=8, text=text)
        return ClipTowers(config).eval()


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
