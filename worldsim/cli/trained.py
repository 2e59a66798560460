"""A world as modules, by name: a shipped one, a bundle, or the folder of a training. Needs torch."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from worldsim.models.step import WorldStep
from worldsim.runtime.bundle import open_world
from worldsim.runtime.torch import world_step
from worldsim.spec import WorldSpec
from worldsim.train.checkpoint import load_autoencoder, load_world_model
from worldsim.train.run import RunRecord


class TrainedWorld(NamedTuple):
    """Networks and how they are played; `ends` is not in the weights yet, see `RunRecord`."""

    step: WorldStep
    spec: WorldSpec
    ends: float


def open_trained(name: str) -> TrainedWorld:
    """What `name` names, in evaluation mode.

    Raises:
        WorldsimError: if there is no such world or training, or it is broken.
    """
    run = Path(name)
    if not (run / "dynamics.safetensors").exists():
        bundle = open_world(name)
        return TrainedWorld(world_step(bundle), bundle.spec, 0.0)
    autoencoder, _ = load_autoencoder(run / "autoencoder.safetensors")
    dynamics, spec = load_world_model(run / "dynamics.safetensors")
    record = RunRecord.read(run)
    step = WorldStep(autoencoder, dynamics, record.sampling)
    return TrainedWorld(step.eval(), spec, record.ends)
