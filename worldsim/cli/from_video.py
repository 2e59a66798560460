"""`worldsim from-video`: a folder of videos becomes a playable world, in one command that can be stopped at any moment.

Import, autoencoder, latent actions, codes, dynamics, decoder, export, card: each is done once, and goes on where it was
stopped.
"""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import tyro

from worldsim import atomic
from worldsim.cli.import_ import ImportConfig
from worldsim.data.importing.importer import ImportSettings, import_videos, report_path, sheet_path
from worldsim.data.importing.shape import Fit
from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError, require
from worldsim.runtime.bundle import BUNDLE, Bundle
from worldsim.terminal import console, printable

if TYPE_CHECKING:
    from worldsim.train.from_video import Steered, VideoRecipe

STAGES = ("import", "autoencoder", "latent actions", "codes", "dynamics", "decoder", "export", "card")


@dataclasses.dataclass(frozen=True)
class FromVideoConfig:
    """Make a playable world of videos, without any actions: worldsim from-video clips/ --out my-world

    Attributes:
        videos: video files, folders of them or of numbered pictures, LeRobot datasets; or one recording.
        out: folder of the world; an older one there is replaced.
        minutes: of training in all, without the time to import, encode and export; the recipe's steps if 0.
        work: folder of the recording, checkpoints and film strips; runs/NAME if not given. Resumed if there is one.
        size: frame size as WIDTHxHEIGHT, multiples of 16.
        fps: frames a second; the videos' own, 15 at most, if 0.
        fit: crop keeps proportions and cuts off what stands out at the sides; stretch keeps everything.
        camera: which camera of a LeRobot dataset; the first if not given.
        keys: auto, keys by what moves after a code; or codes for keys, as in none=0,ArrowLeft=3,ArrowRight=5.
        labels: of so many steps the true actions are looked at: codes learn to name them, a vote maps actions to codes,
            and the world is played with the recording's keys; 0 plays codes.
        quantizer: fsq or vq.
        past: frames before a change that its code is read with.
        starts: how many places to begin at.
        seed: of the weights and the draws.
        device: auto, cpu, cuda, cuda:1 or mps.
        compile: compile the dynamics, where there is a compiler.
        licence: of the videos, for the record.
    """

    videos: Annotated[tuple[Path, ...], tyro.conf.Positional]
    out: Path
    minutes: float = 45.0
    work: Path | None = None
    size: str = "64x64"
    fps: float = 0.0
    fit: Fit = "crop"
    camera: str = ""
    keys: str = "auto"
    labels: int = 0
    quantizer: Literal["fsq", "vq"] = "fsq"
    past: int = 2
    starts: int = 12
    seed: int = 0
    device: str = "auto"
    compile: bool = True
    licence: str = "unknown: that of the videos"

    @property
    def folder(self) -> Path:
        """Of the work."""
        return self.work or Path("runs") / self.out.absolute().name


def from_video(config: FromVideoConfig) -> None:
    """Do all that is not done yet, and print what came out.

    Raises:
        WorldsimError: for videos that nothing can be taken of or learned from, codes that collapsed, flags that don't
            go together, or a folder that can't be written.
    """
    for module in ("torch", "einops", "tensorboard", "onnx", "onnxscript"):
        require(module, "train")
    from worldsim.device import choose_device, keep_memory
    from worldsim.train.from_video import train_from_video
    from worldsim.train.trainer import RunOptions

    check_flags(config)
    BUNDLE.check_free(config.out)
    keep_memory()
    say = Announcer(config.minutes)
    options = RunOptions(choose_device(config.device), config.minutes, compile=config.compile)
    with atomic.lock(config.folder):
        recording = recording_of(config, say)
        labelled = labelled_steps(recording, config.labels, config.seed) if config.labels else None
        steered = train_from_video(recording, config.folder, recipe_of(config), options, say, labelled)
        say("export")
        bundle = export_steered(config, recording, steered)
        say("card")
        write_card(config, recording, steered, bundle)
    out = console()
    out.print((bundle.path / "card.md").read_text("utf-8"), soft_wrap=True)
    out.print(printable(f"Play it: python play.py --world {config.out}"), soft_wrap=True)


class Announcer:
    """Says which stage begins, and how much training is to come."""

    def __init__(self, minutes: float):
        self._minutes, self._begun = minutes, time.monotonic()

    def __call__(self, stage: str) -> None:
        """A line."""
        from worldsim.train.from_video import SHARES

        number = STAGES.index(stage)
        left = sum(SHARES.get(later, 0.0) for later in STAGES[number:]) * self._minutes
        trains = f"; at most {left:.0f} of {self._minutes:g} minutes of training to come" if self._minutes else ""
        console(stderr=True).print(f"[{number + 1}/{len(STAGES)}] {stage}{trains}", soft_wrap=True)


def check_flags(config: FromVideoConfig) -> None:
    """Refuse what can't be done, before anything is."""
    if not config.videos:
        raise WorldsimError("which videos? worldsim from-video clips/ --out my-world")
    if not (0 <= config.minutes < math.inf):
        raise WorldsimError(f"--minutes {config.minutes:g}: give a number above 0, or 0 for the recipe's steps")
    if not 1 <= config.starts <= 99 or config.seed < 0 or config.labels < 0:
        raise WorldsimError("--starts must be from 1 to 99; --seed and --labels can't be negative")
    sides = import_settings(config)
    if sides.height % 16 or sides.width % 16:
        raise WorldsimError(f"--size {config.size}: give multiples of 16")


def import_settings(config: FromVideoConfig) -> ImportSettings:
    """How the videos are imported."""
    flags = config.size, config.fps, config.fit, config.camera, 0, config.licence
    return ImportConfig(config.videos, config.folder, *flags).settings()


def is_recording(place: Path) -> bool:
    """Whether a folder is a recording."""
    return (place / "zarr.json").exists()


def recording_of(config: FromVideoConfig, say: Announcer) -> Recording:
    """The recording of the videos, imported if that is not done yet; or the one that was given."""
    if is_recording(config.videos[0]):
        if len(config.videos) > 1:
            raise WorldsimError("give one recording, or videos")
        return Recording(config.videos[0])
    say("import")
    place = config.folder / config.out.absolute().name
    report = import_videos(config.videos, place, import_settings(config))
    for line in report.lines():
        console(stderr=True).print(printable(line), soft_wrap=True)
    where = f"contact sheet: {sheet_path(place)}; report: {report_path(place)}"
    console(stderr=True).print(printable(where), soft_wrap=True)
    return Recording(place)


def recipe_of(config: FromVideoConfig) -> VideoRecipe:
    """The recipe with what the flags say."""
    from worldsim.train.from_video import RECIPE, VideoRecipe

    decoder = RECIPE.world.decoder_training
    world = dataclasses.replace(
        RECIPE.world,
        decoder_training=decoder and dataclasses.replace(decoder, seed=config.seed),
        autoencoder_training=dataclasses.replace(RECIPE.world.autoencoder_training, seed=config.seed),
        dynamics_training=dataclasses.replace(RECIPE.world.dynamics_training, seed=config.seed),
    )
    latent_action = {**RECIPE.latent_action, "quantizer": config.quantizer, "past": config.past}
    training = dataclasses.replace(RECIPE.latent_action_training, seed=config.seed)
    return VideoRecipe(world, latent_action, training, config.keys)


def export_steered(config: FromVideoConfig, recording: Recording, steered: Steered) -> Bundle:
    """Write the world; with labels, with the actions and keys of the recording."""
    import torch

    from worldsim.cli.export import choose_starts
    from worldsim.cli.video_card import NAMED
    from worldsim.data.codes import codes_of_actions
    from worldsim.data.windows import start_windows
    from worldsim.models.latent_action import with_actions
    from worldsim.models.retention import context
    from worldsim.runtime.bundle import open_world
    from worldsim.runtime.export import export_bundle
    from worldsim.train.run import RunRecord

    coded, model, spec = steered.recording, steered.world_model, steered.recording.spec
    windows = start_windows(coded, "held-out", context(model.config.dit.window, ()))
    frames, actions = choose_starts(coded, windows, min(config.starts, len(windows.starts)), config.seed)
    named: dict[str, int] = {}
    if config.labels:
        steps = labelled_steps(recording, config.labels, config.seed)
        codes = codes_of_actions(coded.actions[steps], recording.actions[steps], recording.spec, model.config.actions)
        model, spec = with_actions(model, torch.from_numpy(codes)), recording.spec
        named = {action.name: int(code) for action, code in zip(spec.actions, codes, strict=True)}
        action_of = np.full(steered.world_model.config.actions, spec.noop)
        action_of[codes[::-1]] = np.arange(len(codes))[::-1]  # the first of those that share a code
        actions = action_of[actions]
    origin = {**coded.origin, "frames": len(coded), "labels": config.labels, **({NAMED: named} if named else {})}
    sampling = RunRecord.read(steered.folder).sampling
    export_bundle(config.out, steered.autoencoder, model, spec, frames, actions, origin, sampling)
    return open_world(str(config.out))


def labelled_steps(recording: Recording, count: int, seed: int) -> np.ndarray:
    """Indices of steps whose true actions may be looked at, none of them held out.

    Raises:
        WorldsimError: if nobody knows the actions.
    """
    if len(recording.spec.actions) < 2:
        raise WorldsimError(f"{recording.path} has no true actions; play its codes, without --labels")
    steps = np.concatenate([np.arange(start, end - 1) for start, end in recording.episodes("train")])
    return np.random.default_rng(seed).permutation(steps)[:count]


def write_card(config: FromVideoConfig, recording: Recording, steered: Steered, bundle: Bundle) -> None:
    """Measure what came out on held-out clips, and write card.md."""
    from worldsim.cli.latent_actions import follows_codes
    from worldsim.cli.video_card import card_of
    from worldsim.evals.files import write_files
    from worldsim.evals.generated import SessionSimulator
    from worldsim.models.step import WorldStep
    from worldsim.runtime.torch import TorchRuntime
    from worldsim.train.run import RunRecord

    step = WorldStep(steered.autoencoder, steered.world_model, RunRecord.read(steered.folder).sampling)
    simulator = SessionSimulator(TorchRuntime(step, steered.recording.spec))
    section = follows_codes(simulator, steered.recording, 24, config.seed)
    text = card_of(bundle, recording, steered.recording, steered.autoencoder, section)
    write_files(bundle.path, {"card.md": text.encode()})
