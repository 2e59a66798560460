"""`worldsim train`: the trainings from the command line. Knows recipes and folders, no losses."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from worldsim import atomic
from worldsim.cli.worlds import check_same_world, recipe_of, world_of_arm, worlds_with_recipes
from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError, require

if TYPE_CHECKING:
    from worldsim.models.autoencoder import Autoencoder
    from worldsim.models.world_model import WorldModel
    from worldsim.train.decoder import DecoderTraining
    from worldsim.train.dynamics import DynamicsTraining
    from worldsim.train.generated import GeneratedFrames
    from worldsim.train.recipes.base import Recipe
    from worldsim.train.run import RunRecord
    from worldsim.train.trainer import RunOptions

DEFAULT_RECIPE = "doom-maze"  # for worlds that have none


AUTOENCODER, DECODER, DYNAMICS = "autoencoder", "decoder", "dynamics"
PARTS = (AUTOENCODER, DECODER, DYNAMICS)
NEW_DECODER_LR = 1e-3  # of one that learns from nothing


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Train a world: worldsim train doom-maze, or worldsim train autoencoder|decoder|dynamics --recording R --out O

    On many GPUs or machines: torchrun --nproc-per-node 8 -m worldsim.cli.main train doom-maze

    Attributes:
        what: a shipped world's name or rooms (the whole recipe: record, autoencoder, dynamics), or autoencoder, or
            decoder (that of a trained autoencoder alone, for crisp pictures), or dynamics.
        recording: the recording; recordings/NAME if not given. It is made first where a shipped world's is missing.
        out: folder of the run, resumed if there is one; runs/NAME if not given.
        recipe: whose sizes and settings to use for a recording of another world: a shipped world's name; video, for one
            that was imported; or an arm of the experiments on this one, such as doom-maze-told-noise.
        weights: a generated world to begin with, a shipped one's name or the folder of a bundle, whose autoencoder,
            sizes and dynamics are taken over: to make it better, or to teach it other play. With decoder, a recording
            at twice (four times, ...) its frame size makes it a world of such frames, with the latents that it has.
        steps: optimizer steps of each training; the recipe's if 0.
        minutes: train for so long instead of so many steps, over all trainings; without the time to record and encode.
        batch: frames or clips a step, in all processes together; the recipe's if 0.
        lr: peak learning rate of one training; the recipe's if 0.
        seed: of the weights, the draws and the noise; the recipe's if not given.
        decoder_widths: of a new decoder with one residual block at each resolution, the first at the finest: narrow
            ones are fast. Without them, train decoder goes on with the decoder that there is.
        generated: train decoder: half of what it learns to draw are latents that the trained dynamics in the folder
            generate under recorded actions, so that it draws those as the frames that they are to be.
        device: auto, cpu, cuda, cuda:1 or mps.
        accumulate: parts of each process's share of a batch that are computed one after the other, to need less memory.
        fsdp: shard weights and optimizer state over the processes instead of copying them.
        compile: compile the dynamics; needs a C++ compiler, or Triton on a GPU, and takes some minutes once.
    """

    what: Annotated[str, tyro.conf.Positional]
    recording: Path | None = None
    out: Path | None = None
    recipe: str = ""
    weights: str = ""
    steps: int = 0
    minutes: float = 0.0
    batch: int = 0
    lr: float = 0.0
    seed: int | None = None
    decoder_widths: tuple[int, ...] = ()
    generated: bool = False
    device: str = "auto"
    accumulate: int = 1
    fsdp: bool = False
    compile: bool = True


def train(config: TrainConfig) -> None:
    """Train, going on from the last checkpoint.

    Raises:
        WorldsimError: for an unknown name or device, flags that don't go together, a missing or unfitting recording, or
            a checkpoint of other settings.
    """
    for module in ("torch", "einops", "tensorboard"):
        require(module, "train")
    from worldsim.device import choose_device, has_compiler, keep_memory
    from worldsim.train import distributed
    from worldsim.train.trainer import RunOptions

    keep_memory()
    with distributed.processes(choose_device(config.device)) as device:
        check_flags(config)
        options = RunOptions(device, config.minutes, config.accumulate, config.fsdp, config.compile)
        if options.compile and distributed.is_main() and not has_compiler(device):
            print(f"No compiler for {device.type} was found: training without torch.compile, more slowly.")
        next_command = train_all(config, options)
        if distributed.is_main():
            print(f"done; next: worldsim {next_command}")


def check_flags(config: TrainConfig) -> None:
    """Refuse what can't be done, before anything is."""
    what, recipes = config.what, worlds_with_recipes()
    if what not in (*recipes, *PARTS):
        raise WorldsimError(f"nothing to train is called {what!r}; there are {', '.join((*recipes, *PARTS))}")
    if config.recipe and config.recipe not in recipes and recipe_of(config.recipe) is None:
        raise WorldsimError(f"no recipe {config.recipe!r}; there are {', '.join(recipes)}, and arms of experiments")
    if config.recipe and what in recipes and what not in (config.recipe, world_of_arm(config.recipe)):
        raise WorldsimError(f"{what} has its own recipe; worldsim train dynamics takes another with --recipe")
    if config.weights and what == AUTOENCODER:
        raise WorldsimError("--weights is for dynamics, which keep the autoencoder that they were trained with")
    if what not in recipes and config.recording is None:
        raise WorldsimError(f"which recording? worldsim train {what} --recording recordings/NAME --out runs/NAME")
    if config.lr and what in recipes and not config.weights:
        raise WorldsimError(
            "--lr is of one training, and a recipe has several; worldsim train autoencoder or dynamics takes it"
        )
    if config.decoder_widths and what != DECODER:
        raise WorldsimError("--decoder-widths is for worldsim train decoder")
    if config.generated and what != DECODER:
        raise WorldsimError("--generated is for worldsim train decoder")
    if any(width < 8 or width % 8 for width in config.decoder_widths):
        raise WorldsimError(f"--decoder-widths {' '.join(map(str, config.decoder_widths))}: give multiples of 8")
    if config.steps and config.minutes:
        raise WorldsimError("--steps and --minutes both say how long; give one of them")
    for flag in ("steps", "minutes", "batch", "lr"):
        if not 0 <= getattr(config, flag) < math.inf:
            raise WorldsimError(f"--{flag} {getattr(config, flag)}: give a number above 0, or 0 for the recipe's")
    if config.seed is not None and config.seed < 0:
        raise WorldsimError(f"--seed {config.seed}: give 0 or more")
    if config.accumulate < 1:
        raise WorldsimError(f"--accumulate {config.accumulate}: give 1 or more")


def train_all(config: TrainConfig, options: RunOptions) -> str:
    """What `worldsim train` was asked for; returns the command that comes next."""
    from worldsim.train import distributed
    from worldsim.train.decoder import DecoderTraining

    path, own = recording_path(config), recipe_of(config.what)
    if own:
        with distributed.main_first():
            record_play(config.what, own, path)
    recording = Recording(path)
    if own and recording.spec.name != config.what:
        raise WorldsimError(
            f"{path} is a recording of {recording.spec.name!r}, not of {config.what!r}; give another --recording"
        )
    name = config.recipe or (recording.spec.name if recipe_of(recording.spec.name) else DEFAULT_RECIPE)
    plain = recipe_of(name)
    assert plain is not None
    if config.what == DECODER and plain.decoder_training is None:
        plain = dataclasses.replace(plain, decoder_training=DecoderTraining())
    recipe = with_flags(plain, config)
    out = config.out or Path("runs") / recording.spec.name
    if distributed.is_main():
        print(f"Curves: tensorboard --logdir {out / 'curves'}    Film strips: {out}/strip-*.png")
    held = atomic.lock(out) if distributed.is_main() else contextlib.nullcontext()
    with held:
        return train_recipe(config, recipe, name, recording, out, options)


def train_recipe(
    config: TrainConfig, recipe: Recipe, name: str, recording: Recording, out: Path, options: RunOptions
) -> str:
    """Train what of the recipe called `name` was asked for; returns the command that comes next."""
    from worldsim.train import distributed
    from worldsim.train.autoencoder import train_autoencoder
    from worldsim.train.checkpoint import load_autoencoder
    from worldsim.train.decoder import GENERATING, train_decoder
    from worldsim.train.dynamics import train_dynamics
    from worldsim.train.pipeline import fit, train_world

    if config.what == AUTOENCODER:
        train_autoencoder(recording, out, recipe.autoencoder, recipe.autoencoder_training, options)
        return f"train dynamics --recording {recording.path} --out {out}"
    if config.what == DECODER:
        if config.weights:
            from worldsim.cli.take_over import take_over_latents

            with distributed.main_first():
                record = record_of(recipe, recipe.dynamics_training, name)
                take_over_latents(config.weights, recording, record, out)
        autoencoder, world = load_autoencoder(out / "autoencoder.safetensors")
        check_same_world(world, recording)
        training = recipe.decoder_training
        assert training is not None
        if not config.generated:
            train_decoder(recording, autoencoder, out, training, options)
        else:
            minutes, rest = GENERATING * options.minutes, options.share(1 - GENERATING)
            generate = functools.partial(generated_frames, recording, autoencoder, out, training, minutes)
            train_decoder(recording, autoencoder, out, training, rest, generate)
        return f"export {out} --recording {recording.path} --out worlds/{recording.spec.name}"
    if distributed.is_main():
        describe(recipe, recipe.dynamics_training, name, out)
    learned_from, last = recording.path, out
    if config.what != DYNAMICS and not config.weights:
        trained = train_world(recipe, recording, out, options)
        if recipe.finetune:
            learned_from, last = finetune_world(recipe, name, recording, trained, out / "finetune", options)
    else:
        start = None
        if config.weights:
            from worldsim.cli.take_over import take_over

            with distributed.main_first():
                start = take_over(config.weights, recording, out)
        autoencoder, world = load_autoencoder(out / "autoencoder.safetensors")
        check_same_world(world, recording)
        size = start.config if start else fit(recipe, recording, autoencoder)
        train_dynamics(recording, autoencoder, out, size, recipe.dynamics_training, start, options=options)
    return f"export {last} --recording {learned_from} --out worlds/{recording.spec.name}"


def recording_path(config: TrainConfig) -> Path:
    """Where the recording is, or will be."""
    return config.recording or Path("recordings") / config.what


def record_play(name: str, recipe: Recipe, path: Path) -> None:
    """Record what a shipped world's recipe asks for, if that is not there."""
    if not (path / "zarr.json").exists():
        from worldsim.cli.record import RecordConfig, record

        record(RecordConfig(name, path, recipe.frames))


def finetune_world(
    recipe: Recipe,
    name: str,
    recording: Recording,
    trained: tuple[Autoencoder, WorldModel],
    out: Path,
    options: RunOptions,
) -> tuple[Path, Path]:
    """Record the probes that a recipe goes on with, if they are not there, and train on them; returns where they are,
    and the folder of the last training."""
    from worldsim.train import distributed
    from worldsim.train.pipeline import finetune, finetune_folders

    settings, spec = recipe.finetune, recording.spec
    assert settings is not None
    probes = recording.path.with_name(f"{recording.path.name}-finetune")
    with distributed.main_first():
        if not (probes / "zarr.json").exists():
            from worldsim.cli import record_permanence as probing

            probing.record_permanence(
                probing.RecordConfig(
                    probes,
                    spec.name,
                    frames=settings.frames,
                    longest=settings.longest,
                    play=settings.play,
                    size=f"{spec.width}x{spec.height}",
                )
            )
    folders = finetune_folders(recipe, out)
    if distributed.is_main():
        for folder, training in zip(folders, settings.trainings, strict=True):
            describe(recipe, training, name, folder)
    finetune(recipe, Recording(probes), trained, out, options)
    return probes, folders[-1]


def with_flags(recipe: Recipe, config: TrainConfig) -> Recipe:
    """A recipe with what the flags say of every training in it."""
    flags = {key: value for key in ("steps", "batch", "lr") if (value := getattr(config, key))}
    if config.seed is not None:
        flags["seed"] = config.seed

    def dynamics(training: DynamicsTraining) -> DynamicsTraining:
        motion = training.motion
        if motion is not None:
            motion = dataclasses.replace(motion, **{key: value for key, value in flags.items() if key != "lr"})
        return dataclasses.replace(training, **flags, motion=motion)

    settings, decoder = recipe.finetune, recipe.decoder_training
    if settings is not None:
        settings = dataclasses.replace(settings, trainings=tuple(dynamics(t) for t in settings.trainings))
    if decoder is not None:
        if config.decoder_widths:
            decoder = dataclasses.replace(decoder, widths=config.decoder_widths, lr=NEW_DECODER_LR)
        decoder = dataclasses.replace(decoder, **flags)
    return dataclasses.replace(
        recipe,
        autoencoder_training=dataclasses.replace(recipe.autoencoder_training, **flags),
        dynamics_training=dynamics(recipe.dynamics_training),
        decoder_training=decoder,
        finetune=settings,
    )


def generated_frames(
    recording: Recording, autoencoder: Autoencoder, out: Path, training: DecoderTraining, minutes: float
) -> GeneratedFrames:
    """What the dynamics in a folder make of a recording, in so many minutes if they are not 0.

    Raises:
        WorldsimError: if there are none, or they are of another world.
    """
    from worldsim.train.checkpoint import load_world_model
    from worldsim.train.generated import GeneratedFrames
    from worldsim.train.run import RunRecord

    world_model, world = load_world_model(out / "dynamics.safetensors")
    check_same_world(world, recording)
    if world.actions != recording.spec.actions:
        raise WorldsimError(f"the dynamics in {out} know other actions than {recording.path}; give their recording")
    sampling = RunRecord.read(out).sampling
    return GeneratedFrames(recording, autoencoder, world_model, sampling, minutes=minutes, seed=training.seed)


def describe(recipe: Recipe, training: DynamicsTraining, name: str, folder: Path) -> None:
    """Write down how what is trained is to be played, for `worldsim export`."""
    record_of(recipe, training, name).write(folder)


def record_of(recipe: Recipe, training: DynamicsTraining, name: str) -> RunRecord:
    """How what a recipe trains is to be played."""
    from worldsim.train.run import RunRecord

    sampling = dataclasses.replace(training.sampling, temperature=recipe.temperature)
    return RunRecord(name, sampling, recipe.ends, recipe.beginnings, recipe.shown)
