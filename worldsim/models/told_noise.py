"""Told noise: how noisy each frame of the context is, said to the network as a number beside the action.

A model that is told can be trained on far noisier contexts than it is played with, so that the errors that it makes
itself look like noise that it knows (GameNGen, Valevski et al. 2024, section 3.2.1).

B batch, T frames, D width.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from worldsim.errors import WorldsimError
from worldsim.models.layers import FourierFeatures

OCTAVES = (0.0, 4.0)  # rates of the embedding; the share of noise is small and smooth


@dataclasses.dataclass(frozen=True)
class ToldNoiseConfig:
    """What is told.

    Attributes:
        play: share of noise, 0 to 1, that is told of the frames in play, whatever they are like.
    """

    play: float = 0.04

    def __post_init__(self) -> None:
        if not 0 <= self.play < 1:
            raise WorldsimError(f"told_noise.play {self.play}: give a share of noise, from 0 to below 1")


class ToldNoise(nn.Module):
    """The share of noise as numbers that are added to the embedding of the action.

    Args:
        width: D.
    """

    def __init__(self, config: ToldNoiseConfig, width: int):
        super().__init__()
        self.play = config.play
        self.embed = FourierFeatures(width, octaves=OCTAVES)

    def forward(self, actions: Tensor, share: Tensor | None) -> Tensor:
        """Of frames on which `actions` `[B, T]` are taken, with this share of noise `[B, T]`, or as in play:
        `[B, T, D]`."""
        if share is None:
            share = torch.full(actions.shape, self.play, device=actions.device)
        return self.embed(share)
