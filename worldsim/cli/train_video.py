"""`worldsim train video-autoencoder` and `worldsim train video-dit`: what `worldsim imagine` runs, trained on clips in
words. Knows folders and flags, no losses."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldsim import atomic
from worldsim.data.captioned import KIND, CaptionedClips, JoinedClips
from worldsim.data.synonyms import AS_RECORDED_ONLY
from worldsim.errors import WorldsimError, require

if TYPE_CHECKING:
    from worldsim.models.video_autoencoder import VideoAutoencoder
    from worldsim.train.trainer import RunOptions

DECODER_LR = 1e-3  # of one that goes on learning


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Train on clips: worldsim train video-autoencoder --clips recordings/toybox-clips --out runs/imagine

    Attributes:
        clips: folder that `worldsim record clips` wrote, or several of them, of different worlds.
        out: folder of the run, resumed if there is one; both trainings share it.
        steps: optimizer steps; 0 for as many as are usual.
        minutes: train for so long instead of so many steps.
        batch: rows of clips a step, in all processes together; 0 for what is usual.
        lr: peak learning rate; 0 for what is usual.
        seed: of the weights, the draws and the noise.
        device: auto, cpu, cuda, cuda:1 or mps.
        accumulate: parts of each process's share of a batch that are computed one after the other, to need less memory.
    """

    clips: tuple[Path, ...]
    out: Path
    steps: int = 0
    minutes: float = 0.0
    batch: int = 0
    lr: float = 0.0
    seed: int = 0
    device: str = "auto"
    accumulate: int = 1


@dataclasses.dataclass(frozen=True)
class TrainDiTConfig(TrainConfig):
    """Train on clips: worldsim train video-dit --clips recordings/toybox-clips --out runs/imagine

    Attributes:
        captions: learn from these captions, which `worldsim caption` wrote, in place of the recorded ones.
        start: run whose video DiT it begins with, as one that learned from fewer worlds; of the same autoencoder.
    """

    captions: Path | None = None
    start: Path | None = None


def train_autoencoder(config: TrainConfig) -> None:
    """Train the video autoencoder, going on from the last checkpoint.

    Raises:
        WorldsimError: for flags that don't go together, missing clips, or a checkpoint of other settings.
    """
    with prepared(config) as (clips, options):
        from worldsim.models.video_autoencoder import VideoAutoencoderConfig
        from worldsim.train.video_autoencoder import VideoAutoencoderTraining, train_video_autoencoder

        training = dataclasses.replace(VideoAutoencoderTraining(seed=config.seed), **flags(config))
        train_video_autoencoder(clips, config.out, VideoAutoencoderConfig(), training, options)
        print(f"done; next: worldsim train video-dit {clips_flag(config)} --out {config.out}")


def train_decoder(config: TrainConfig) -> None:
    """Train the decoder of the run's video autoencoder on, alone, going on from the last checkpoint.

    Raises:
        WorldsimError: as `train_autoencoder`, and if there is no video autoencoder.
    """
    with prepared(config) as (clips, options):
        from worldsim.train.video_autoencoder import VideoAutoencoderTraining, train_video_autoencoder

        start = trained_autoencoder(config)
        training = dataclasses.replace(VideoAutoencoderTraining(seed=config.seed, lr=DECODER_LR), **flags(config))
        train_video_autoencoder(clips, config.out, start.config, training, options, start)
        print(f"done; next: worldsim imagine --model {config.out} --prompt 'a red ball' --out ball.mp4")


def train_dit(config: TrainDiTConfig) -> None:
    """Train the video DiT on the latents of the run's video autoencoder, going on from the last checkpoint.

    Raises:
        WorldsimError: as `train_autoencoder`, and if there is no video autoencoder.
    """
    with prepared(config, config.captions) as (clips, options):
        from worldsim.models.video_dit import VideoDiTConfig
        from worldsim.train import video_dit
        from worldsim.train.video_autoencoder import latents_digest

        autoencoder = trained_autoencoder(config)
        training = dataclasses.replace(video_dit.VideoDiTTraining(seed=config.seed), **flags(config))
        start = video_dit.load_imaginer(config.start) if config.start else None
        if start and latents_digest(start.autoencoder) != latents_digest(autoencoder):
            raise WorldsimError(f"{config.start} has another video autoencoder; copy that to {config.out} first")
        video_dit.train_video_dit(
            clips, autoencoder, config.out, VideoDiTConfig(), training, options, start.dit if start else None
        )
        print(f"done; next: worldsim imagine --model {config.out} --prompt 'a red ball' --out ball.mp4")


def trained_autoencoder(config: TrainConfig) -> VideoAutoencoder:
    """The run's video autoencoder.

    Raises:
        WorldsimError: if there is none.
    """
    from worldsim.train import video_autoencoder

    path = config.out / video_autoencoder.FILE
    if not path.exists():
        raise WorldsimError(
            f"there is no {path}; train that first: worldsim train video-autoencoder {clips_flag(config)} "
            f"--out {config.out}"
        )
    return video_autoencoder.load_video_autoencoder(path)


def open_clips(path: Path, captions: Path | None = None) -> CaptionedClips:
    """Clips with the synonyms of the world that they show, and with other captions if there are some.

    Raises:
        WorldsimError: if they are missing, cut or changed, or the captions are of others.
    """
    from worldsim_envs.registry import load, world_entry

    world = world_entry(str(KIND.read_manifest(path)["world"]))
    synonyms = load(world.synonyms) if world.synonyms else AS_RECORDED_ONLY
    return CaptionedClips(path, synonyms, captions)


def open_sets(paths: Sequence[Path], captions: Path | None = None) -> CaptionedClips:
    """One set of clips, or several as one.

    Raises:
        WorldsimError: as `open_clips`, for no set, for two of one world, and for captions of several sets.
    """
    if not paths:
        raise WorldsimError("--clips names no folder; record one: worldsim record clips toybox --out CLIPS")
    if captions is not None and len(paths) > 1:
        raise WorldsimError("--captions are those of one set of clips; give one folder as --clips")
    sets = [open_clips(path, captions) for path in paths]
    worlds = [world for clips in sets for world in clips.worlds]
    if twice := sorted({world for world in worlds if worlds.count(world) > 1}):
        raise WorldsimError(f"--clips has several folders of {', '.join(twice)}; record more clips into one instead")
    return sets[0] if len(sets) == 1 else JoinedClips(sets)


def clips_flag(config: TrainConfig) -> str:
    """The clips as they were given."""
    return shlex.join(["--clips", *map(str, config.clips)])


@contextlib.contextmanager
def prepared(config: TrainConfig, captions: Path | None = None) -> Iterator[tuple[CaptionedClips, RunOptions]]:
    """What a training needs: the clips, and how it runs on this process's device; the run's folder is locked meanwhile.

    Raises:
        WorldsimError: for flags that don't go together, and missing clips or packages.
    """
    for module in ("torch", "einops", "tensorboard"):
        require(module, "train")
    from worldsim.device import choose_device, keep_memory
    from worldsim.train import distributed
    from worldsim.train.trainer import RunOptions

    _check(config)
    keep_memory()
    with distributed.processes(choose_device(config.device)) as device:
        clips = open_sets(config.clips, captions)
        with atomic.lock(config.out) if distributed.is_main() else contextlib.nullcontext():
            yield clips, RunOptions(device, config.minutes, config.accumulate)


def _check(config: TrainConfig) -> None:
    if config.steps and config.minutes:
        raise WorldsimError("--steps and --minutes both say how long; give one of them")
    for flag in ("steps", "minutes", "batch", "lr", "seed"):
        if not 0 <= getattr(config, flag) < math.inf:
            raise WorldsimError(f"--{flag} {getattr(config, flag)}: give a number above 0, or leave it out")
    if config.accumulate < 1:
        raise WorldsimError(f"--accumulate {config.accumulate}: give 1 or more")


def flags(config: TrainConfig) -> dict[str, Any]:
    """The settings of a training that were given, and not left at what is usual."""
    return {key: value for key in ("steps", "batch", "lr") if (value := getattr(config, key))}
