"""`worldsim train`: the trainings from the command line. Knows recipes and folders, no losses."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from worldsim.cli.worlds import recipe_of, worlds_with_recipes
from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError, require
from worldsim.spec import WorldSpec

if TYPE_CHECKING:
    from worldsim.models.world_model import WorldModel


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Train a world: worldsim train doom-maze, or worldsim train autoencoder|dynamics --recording R --out O

    Attributes:
        what: a shipped world's name or rooms (the whole recipe: record, autoencoder, dynamics), or autoencoder, or
            dynamics.
        recording: the recording; recordings/NAME if not given. It is made first where a shipped world's is missing.
        out: folder of the run, resumed if there is one; runs/NAME if not given.
        recipe: whose sizes and settings to use for a recording of another world: a shipped world's name. weights: a
        generated world to begin with, a shipped one's name or the folder of a bundle, whose autoencoder, sizes
            and dynamics are taken over: to make it better, or to teach it other play.
        steps: optimizer steps; the recipe's if 0.
        batch: frames or clips a step; the recipe's if 0.
        lr: peak learning rate; the recipe's if 0.
        seed: of the weights, the draws and the noise.
        compile: compile the dynamics; needs a C++ compiler and takes some minutes once.
    """

    what: Annotated[str, tyro.conf.Positional]
    recording: Path | None = None
    out: Path | None = None
    recipe: str = ""
    weights: str = ""
    steps: int = 0
    batch: int = 0
    lr: float = 0.0
    seed: int = 0
    compile: bool = True


def train(config: TrainConfig) -> None:
    """Train, going on from the last checkpoint.

    Raises:
        WorldsimError: for an unknown name, a missing or unfitting recording, or a checkpoint of other settings.
    """
    for module in ("torch", "einops", "tensorboard"):
        require(module, "train")
    from worldsim.device import keep_memory
    from worldsim.train.autoencoder import train_autoencoder
    from worldsim.train.checkpoint import load_autoencoder
    from worldsim.train.dynamics import train_dynamics
    from worldsim.train.pipeline import finetune, fit, train_world

    keep_memory()
    whole = recipe_of(config.what) is not None
    if not whole and config.what not in ("autoencoder", "dynamics"):
        there_are = ", ".join((*worlds_with_recipes(), "autoencoder", "dynamics"))
        raise WorldsimError(f"nothing to train is called {config.what!r}; there are {there_are}")
    if config.weights and config.what == "autoencoder":
        raise WorldsimError("--weights is for dynamics, which keep the autoencoder that they were trained with")
    if not whole and config.recording is None:
        raise WorldsimError(
            f"which recording? worldsim train {config.what} --recording recordings/NAME --out runs/NAME"
        )
    name = config.what if whole else ""
    path = config.recording or Path("recordings") / name
    if (own := recipe_of(name)) and not (path / "zarr.json").exists():
        from worldsim.cli.record import RecordConfig, record

        record(RecordConfig(name, path, own.frames))
    recording = Recording(path)
    recipe_name = config.recipe or recording.spec.name
    recipe = recipe_of(recipe_name) or (None if config.recipe else recipe_of("doom-maze"))
    if recipe is None:
        raise WorldsimError(f"no recipe {config.recipe!r}; there are {', '.join(worlds_with_recipes())}")
    if whole and recording.spec.name != name:
        raise WorldsimError(
            f"{path} is a recording of {recording.spec.name!r}, not of {name!r}; give another --recording"
        )
    out = config.out or Path("runs") / recording.spec.name
    chosen = {key: value for key in ("steps", "batch", "lr", "seed") if (value := getattr(config, key))}
    print(f"Curves: tensorboard --logdir {out / 'curves'}    Film strips: {out}/strip-*.png")
    start = take_over(config.weights, recording, out) if config.weights else None
    if whole and start is None:
        trained = train_world(recipe, recording, out)
        if recipe.finetune:
            probes = path.with_name(f"{path.name}-finetune")
            if not (probes / "zarr.json").exists():
                from worldsim.cli import record_permanence as probing

                frame_size = f"{recording.spec.width}x{recording.spec.height}"
                settings = recipe.finetune
                asked = probing.RecordConfig(
                    probes,
                    name,
                    frames=settings.frames,
                    longest=settings.longest,
                    play=settings.play,
                    size=frame_size,
                )
                probing.record_permanence(asked)
            print(f"Ready to export: {finetune(recipe.finetune, Recording(probes), trained, out / 'finetune')}")
    elif config.what == "autoencoder":
        train_autoencoder(
            recording, out, recipe.autoencoder, dataclasses.replace(recipe.autoencoder_training, **chosen)
        )
    else:
        autoencoder, world = load_autoencoder(out / "autoencoder.safetensors")
        check_same_world(world, recording)
        training = dataclasses.replace(recipe.dynamics_training, compile=config.compile and _has_compiler(), **chosen)
        size = start.config if start else fit(recipe, recording, autoencoder)
        train_dynamics(recording, autoencoder, out, size, training, start)


def take_over(world: str, recording: Recording, out: Path) -> WorldModel:
    """The dynamics of a generated world to begin with; its autoencoder is written to `out`.

    Raises:
        WorldsimError: if the recording is of another world, or `out` has another autoencoder.
    """
    import torch

    from worldsim.runtime.bundle import open_world
    from worldsim.runtime.torch import world_step
    from worldsim.train.checkpoint import load_autoencoder, save_model

    bundle = open_world(world)
    check_same_world(bundle.spec, recording)
    step, path = world_step(bundle), out / "autoencoder.safetensors"
    if path.exists():
        ours, theirs = load_autoencoder(path)[0].state_dict(), step.autoencoder.state_dict()
        if ours.keys() != theirs.keys() or any(not torch.equal(ours[name], theirs[name]) for name in ours):
            raise WorldsimError(f"{path} is another autoencoder than that of {world}; give another --out")
    else:
        save_model(path, step.autoencoder, bundle.spec)
    return step.world_model


def check_same_world(world: WorldSpec, recording: Recording) -> None:
    """Refuse a recording of another world than the one the autoencoder was trained on."""
    if world.name != recording.spec.name or (world.height, world.width) != (
        recording.spec.height,
        recording.spec.width,
    ):
        raise WorldsimError(
            f"the autoencoder is of {world.name!r} at {world.width}x{world.height}; {recording.path} is of "
            f"{recording.spec.name!r} at {recording.spec.width}x{recording.spec.height}"
        )


def _has_compiler() -> bool:
    from worldsim.device import has_compiler

    if not has_compiler():
        print("No C++ compiler was found: training without torch.compile, more slowly.")
    return has_compiler()
