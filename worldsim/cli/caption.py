"""`worldsim caption`: captions of clips, written by a captioner, to train on in place of recorded ones. Knows files and
flags, no network."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tyro

from worldsim.data.captioned import MOMENT, CaptionedClips
from worldsim.data.captions import Captions, write_captions
from worldsim.errors import WorldsimError, require
from worldsim.progress import ProgressBar
from worldsim.terminal import printable

if TYPE_CHECKING:
    from worldsim.runtime.describe import Describer

ROWS = 32  # clips described at once


@dataclasses.dataclass(frozen=True)
class CaptionConfig:
    """Describe clips: worldsim caption recordings/toybox-clips --model runs/imagine --out captions.json

    Attributes:
        clips: folder of clips; what is recorded of them in words is not looked at.
        out: file of the captions, for worldsim train video-dit --captions.
        model: folder of the run that trained the captioner (worldsim train captioner).
        count: captions of each clip, and of each of its moments.
        seed: draws what kind of captions they are.
        device: auto, cpu, cuda, cuda:1 or mps.
    """

    clips: tyro.conf.Positional[Path]
    out: Path
    model: Path = Path("runs/imagine")
    count: int = 2
    seed: int = 0
    device: str = "auto"


def caption(config: CaptionConfig) -> None:
    """Describe every clip, and write the captions.

    Raises:
        WorldsimError: for numbers that can't be used, and clips or a captioner that aren't there.
    """
    if config.count < 1 or config.seed < 0:
        raise WorldsimError("--count must be at least 1, and --seed can't be negative")
    for module in ("torch", "einops", "tensorboard"):
        require(module, "train")
    from worldsim.device import choose_device
    from worldsim.runtime.clip_score import ClipScorer
    from worldsim.runtime.describe import Describer
    from worldsim.train.captioner import load_describer

    device, loaded = choose_device(config.device), load_describer(config.model)
    scorer = ClipScorer(loaded.scorer.autoencoder.to(device), loaded.scorer.towers.to(device))
    describer = Describer(scorer, loaded.captioner.to(device))
    clips = CaptionedClips(config.clips)
    captions: list[Captions] = []
    with ProgressBar("captions", len(clips)) as bar:
        while len(captions) < len(clips):
            captions += describe(describer, clips, len(captions), config.count, config.seed)
            bar.update(len(captions))
    write_captions(config.out, clips.digest, captions)
    print(printable(f"{config.out}: {len(captions)} clips; the first one: {captions[0][0][0]}"))


def describe(describer: Describer, clips: CaptionedClips, first: int, count: int, seed: int) -> list[Captions]:
    """`count` captions of each of some clips of one size from number `first` on, and of their moments."""
    numbers = [n for n in range(first, min(first + ROWS, len(clips))) if clips.bucket(n) == clips.bucket(first)]
    numbers = numbers[: next((i for i, n in enumerate(numbers) if n != first + i), None)]
    frames = np.stack([clips.clip(n).frames for n in numbers])
    moments = frames[:, ::MOMENT].reshape(-1, 1, *frames.shape[2:])
    drawn = [seed + first * count + i for i in range(count)]
    whole = list(zip(*(describer.captions(frames, s) for s in drawn), strict=True))
    single = list(zip(*(describer.captions(moments, s) for s in drawn), strict=True))
    each = len(single) // len(numbers)
    return [(story, tuple(single[i * each : (i + 1) * each])) for i, story in enumerate(whole)]
