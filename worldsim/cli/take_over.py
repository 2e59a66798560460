"""Trainings that begin with a generated world: its networks become those of a run. Needs torch."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import nn

from worldsim.cli.worlds import check_same_world
from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import enlarged
from worldsim.models.world_model import WorldModel
from worldsim.runtime.bundle import open_world
from worldsim.runtime.torch import world_step
from worldsim.train.checkpoint import load_autoencoder, load_world_model, save_model
from worldsim.train.run import RunRecord


def take_over(world: str, recording: Recording, out: Path) -> WorldModel:
    """The dynamics of a generated world to begin with; its autoencoder is written to `out`.

    Raises:
        WorldsimError: if the recording is of another world, or `out` has another autoencoder.
    """
    bundle = open_world(world)
    check_same_world(bundle.spec, recording)
    step, path = world_step(bundle), out / "autoencoder.safetensors"
    if path.exists():
        if not same_weights(load_autoencoder(path)[0], step.autoencoder):
            raise WorldsimError(f"{path} is another autoencoder than that of {world}; give another --out")
    else:
        save_model(path, step.autoencoder, bundle.spec)
    return step.world_model


def take_over_latents(world: str, recording: Recording, record: RunRecord, out: Path) -> None:
    """Write the autoencoder and the dynamics of a generated world to `out`, for frames as large as the recording's.

    Args:
        world: its name or folder. recording: of the same world, at its frame size or at a power of two times that.
        record: of the run, but for how frames are sampled, which is as in that world.
        out: folder of the run.

    Raises:
        WorldsimError: if the recording is of another world, or of no multiple of its frame size, or `out` has other
            dynamics.
    """
    bundle, spec = open_world(world), recording.spec
    height, width = bundle.spec.height, bundle.spec.width
    scale = max(1, spec.height // height)
    if (spec.name, spec.actions) != (bundle.spec.name, bundle.spec.actions):
        raise WorldsimError(f"{recording.path} is of {spec.name!r}, or of other actions; {world} learned another world")
    if (spec.height, spec.width) != (scale * height, scale * width):
        raise WorldsimError(
            f"the latents of {world} are of frames of {width}x{height}: record at {2 * width}x{2 * height} or so many "
            f"times that, not at {spec.width}x{spec.height}"
        )
    step, path = world_step(bundle), out / "dynamics.safetensors"
    if path.exists():
        if not same_weights(load_world_model(path)[0], step.world_model):
            raise WorldsimError(f"{path} are other dynamics than those of {world}; give another --out")
        return
    save_model(out / "autoencoder.safetensors", enlarged(step.autoencoder, scale), spec)
    dataclasses.replace(record, sampling=bundle.sampling, ends=0.0).write(out)  # its ends are in its weights
    save_model(path, step.world_model, spec)


def same_weights(ours: nn.Module, theirs: nn.Module) -> bool:
    """Whether two networks are one."""
    a, b = ours.state_dict(), theirs.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
