"""`worldsim train few-step`: teach a world's denoiser to need few passes. Knows recipes and folders, no losses."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from worldsim import atomic
from worldsim.cli.train import DEFAULT_RECIPE
from worldsim.cli.worlds import check_same_world, recipe_of
from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError, require
from worldsim.spec import WorldSpec

if TYPE_CHECKING:
    from worldsim.train.few_step import FewStepTraining
    from worldsim.train.recipes.base import Recipe

MOST_OWN_FRAMES = 16  # that the teacher generates before a clip


@dataclasses.dataclass(frozen=True)
class FewStepConfig:
    """Distil a world: worldsim train few-step doom-take-cover --recording recordings/doom-take-cover --out runs/fast

    Only the denoiser learns; memory, view and everything else are kept. Then: worldsim export runs/fast ...

    Attributes:
        world: the teacher: a shipped world's name, the folder of a bundle, or that of a training.
        recording: of the same world.
        out: folder of the run, resumed if there is one.
        method: segment consistency, which needs no derivatives; sCM; or MeanFlow.
        schedule: signal levels of the passes in play, from 0; 0 0.5 if not given, and 0 for scm.
        distill: learn the teacher's flow; --no-distill learns that of the data, by scm or meanflow.
        steps: optimizer steps. lr: peak learning rate.
        minutes: train for so long instead of so many steps.
        passes: of the teacher to the end of a segment, an even number.
        batch: clips a step; the recipe's if 0.
        seed: of the draws and the noise.
        device: auto, cpu, cuda, cuda:1 or mps.
        compile: compile the loss; needs a C++ compiler, or Triton on a GPU.
    """

    world: Annotated[str, tyro.conf.Positional]
    recording: Path
    out: Path
    method: Literal["segment", "scm", "meanflow"] = "segment"
    schedule: tuple[float, ...] = ()
    distill: bool = True
    steps: int = 4000
    minutes: float = 0.0
    lr: float = 2e-4
    passes: int = 8
    batch: int = 0
    seed: int = 0
    device: str = "auto"
    compile: bool = True


def few_step(config: FewStepConfig) -> None:
    """Train, going on from the last checkpoint.

    Raises:
        WorldsimError: for flags that don't go together, an unknown world, a recording of another, or a checkpoint of
            other settings.
    """
    for module in ("torch", "einops", "tensorboard"):
        require(module, "train")
    from worldsim.cli.trained import open_trained
    from worldsim.device import choose_device, keep_memory
    from worldsim.models.sampling import Sampling
    from worldsim.train import distributed
    from worldsim.train.checkpoint import save_model
    from worldsim.train.few_step import train_few_step
    from worldsim.train.run import RunRecord
    from worldsim.train.trainer import RunOptions

    check_flags(config)
    teacher, recording = open_trained(config.world), Recording(config.recording)
    check_same_world(teacher.spec, recording)
    name, recipe = recipe_for(teacher.spec)
    training = training_of(config, recipe)
    keep_memory()
    with distributed.processes(choose_device(config.device)) as device:
        held = atomic.lock(config.out) if distributed.is_main() else contextlib.nullcontext()
        with held:
            if distributed.is_main():
                save_model(config.out / "autoencoder.safetensors", teacher.step.autoencoder, recording.spec)
                play = Sampling(training.schedule, teacher.step.sampling.temperature)
                RunRecord(name, play, teacher.ends, recipe.beginnings, recipe.shown).write(config.out)
            options = RunOptions(device, config.minutes, compile=config.compile)
            train_few_step(recording, teacher.step, config.out, training, options)
        if distributed.is_main():
            print(
                f"done; next: worldsim eval few-step {config.world} --recording {config.recording} "
                f"--distilled {config.out}"
            )
            print(f"then: worldsim export {config.out} --recording {config.recording} --out worlds/{name}")


def check_flags(config: FewStepConfig) -> None:
    """Refuse what can't be done, before anything is."""
    schedule = config.schedule or (0.0,)
    if list(schedule) != sorted(set(schedule)) or schedule[0] != 0 or schedule[-1] >= 1:
        raise WorldsimError("--schedule rises from 0 to below 1, as in --schedule 0 0.5")
    if config.passes < 2 or config.passes % 2:
        raise WorldsimError(f"--passes {config.passes}: give an even number, 2 or more")
    for flag in ("steps", "minutes", "batch", "seed"):
        if not 0 <= getattr(config, flag) < math.inf:
            raise WorldsimError(f"--{flag} {getattr(config, flag)}: give 0 or more")
    if not 0 < config.lr < math.inf:
        raise WorldsimError(f"--lr {config.lr}: give a number above 0")


def recipe_for(spec: WorldSpec) -> tuple[str, Recipe]:
    """The recipe of a world, or the default one, with its name."""
    own = recipe_of(spec.name)
    recipe = own or recipe_of(DEFAULT_RECIPE)
    assert recipe is not None
    return (spec.name if own else DEFAULT_RECIPE), recipe


def training_of(config: FewStepConfig, recipe: Recipe) -> FewStepTraining:
    """The settings that the flags and the recipe's clips make."""
    from worldsim.train.few_step import FewStepTraining

    clips = recipe.finetune.trainings[-1] if recipe.finetune else recipe.dynamics_training
    clips = dataclasses.replace(
        clips,
        batch=config.batch or clips.batch,
        seed=config.seed,
        self_rollout_start=0.0,
        self_rollout_max=min(clips.self_rollout_max, MOST_OWN_FRAMES),
        motion=None,
        learns=(),
    )
    schedule = config.schedule or ((0.0,) if config.method == "scm" else (0.0, 0.5))
    return FewStepTraining(clips, config.method, schedule, config.distill, config.steps, config.lr, config.passes)
