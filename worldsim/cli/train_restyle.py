"""`worldsim train restyle`: other looks for the frames of a world that is already trained, which stays as it is."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from pathlib import Path

from worldsim import atomic
from worldsim.data.captioned import CaptionedClips
from worldsim.errors import WorldsimError, require


@dataclasses.dataclass(frozen=True)
class RestyleConfig:
    """Learn looks: worldsim train restyle --world toybox --clips recordings/toybox-clips --out runs/toybox-looks

    Attributes:
        clips: folder that `worldsim record clips` wrote; some of its clips show the same play in two looks.
        out: folder of the run, resumed if there is one; the looks are left in its folder `looks`.
        world: the generated world whose frames are drawn: a shipped world's name, or the folder of a bundle.
        native: the look that this world shows by itself.
        steps: optimizer steps; 0 for as many as are usual.
        minutes: train for so long instead of so many steps.
        batch: frames a step, in all processes together; 0 for what is usual.
        lr: peak learning rate; 0 for what is usual.
        seed: of the weights and the draws.
        device: auto, cpu, cuda, cuda:1 or mps.
    """

    clips: Path
    out: Path
    world: str = "toybox"
    native: str = "day"
    steps: int = 0
    minutes: float = 0.0
    batch: int = 0
    lr: float = 0.0
    seed: int = 0
    device: str = "auto"


def train_looks(config: RestyleConfig) -> None:
    """Train, going on from the last checkpoint, and write the looks.

    Raises:
        WorldsimError: for flags that don't go together, a world or clips that can't be read, or have no looks.
    """
    for module in ("torch", "einops", "tensorboard", "onnxscript"):
        require(module, "train")
    from worldsim.device import choose_device, keep_memory
    from worldsim.runtime.bundle import open_world
    from worldsim.runtime.export_looks import export_looks
    from worldsim.runtime.load import load_runtime
    from worldsim.train import distributed
    from worldsim.train.restyle import RestyleTraining, train_restyle
    from worldsim.train.trainer import RunOptions
    from worldsim_envs.registry import WORLDS, load

    _check(config)
    keep_memory()
    with distributed.processes(choose_device(config.device)) as device:
        world, clips = open_world(config.world), CaptionedClips(config.clips)
        runtime = load_runtime(world, "onnx", "cpu")
        flags = {key: value for key in ("steps", "batch", "lr") if (value := getattr(config, key))}
        training = dataclasses.replace(RestyleTraining(seed=config.seed), **flags)
        with atomic.lock(config.out) if distributed.is_main() else contextlib.nullcontext():
            restyler = train_restyle(
                clips, runtime, config.native, config.out, training, RunOptions(device, config.minutes)
            )
        if distributed.is_main():
            folder = config.out / "looks"
            entry = WORLDS.get(world.spec.name)
            phrases = load(entry.clips).looks if entry and entry.clips else {}
            size = export_looks(folder, restyler, world.spec.name, config.native, phrases)
            print(f"{folder}: {', '.join(restyler.config.looks)}, {size / 1e6:.2f} MB; put it into the world's folder")


def _check(config: RestyleConfig) -> None:
    if config.steps and config.minutes:
        raise WorldsimError("--steps and --minutes both say how long; give one of them")
    for flag in ("steps", "minutes", "batch", "lr", "seed"):
        if not 0 <= getattr(config, flag) < math.inf:
            raise WorldsimError(f"--{flag} {getattr(config, flag)}: give a number above 0, or leave it out")
