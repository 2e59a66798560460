"""Weights and training state on disk: one safetensors file each, with its JSON in the header. No pickle.

A file is written beside and renamed, so a killed trainer leaves the last whole one. The header has a checksum of the
tensors.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from worldsim import atomic
from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import Autoencoder, AutoencoderConfig
from worldsim.models.config import WorldModelConfig
from worldsim.models.world_model import WorldModel
from worldsim.safe_read import parse_json, read_safetensors
from worldsim.spec import WorldSpec
from worldsim.train.distributed import sharded_as


def write(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors and a JSON header, all or nothing.

    Raises:
        WorldsimError: if the disk is full.
    """
    tensors = {k: v.detach().contiguous() for k, v in tensors.items()}
    metadata = {"worldsim": json.dumps(header), "sha256": digest(tensors)}
    with atomic.replacing(path, "The last whole checkpoint is kept.") as part:
        save_file(tensors, part, metadata)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write` wrote.

    Raises:
        WorldsimError: if the file is missing, cut or not one of ours.
    """
    if not path.exists():
        raise WorldsimError(f"no file {path}; train first: worldsim train --help")
    way_out = "Remove it and train again."
    tensors, metadata = read_safetensors(path, way_out, "pt")
    if "worldsim" not in metadata:
        raise WorldsimError(f"{path} is not a worldsim checkpoint. {way_out}")
    if metadata.get("sha256") not in (None, digest(tensors)):  # none in files written before there were checksums
        raise WorldsimError(f"{path} was changed after it was written. {way_out}")
    return tensors, parse_json(metadata["worldsim"], path, way_out)


def digest(tensors: dict[str, Tensor]) -> str:
    """sha256 of tensors, by name."""
    whole = hashlib.sha256()
    for name in sorted(tensors):
        whole.update(name.encode())
        whole.update(tensors[name].cpu().flatten().view(torch.uint8).numpy().data)
    return whole.hexdigest()


def save_model(path: Path, model: nn.Module, spec: WorldSpec, weights: dict[str, Tensor] | None = None) -> None:
    """Save a model (or `weights`, its average) with its config and world."""
    header = {"kind": type(model).__name__, "config": dataclasses.asdict(model.config), "spec": spec.to_json()}
    write(path, weights or model.state_dict(), header)


def load_autoencoder(path: Path) -> tuple[Autoencoder, WorldSpec]:
    """A trained autoencoder in evaluation mode, and the world it was trained on."""
    return _load(path, Autoencoder, AutoencoderConfig.from_json)


def load_world_model(path: Path) -> tuple[WorldModel, WorldSpec]:
    """Trained dynamics in evaluation mode, and the world they were trained on."""
    return _load(path, WorldModel, WorldModelConfig.from_json)


def _load(path: Path, model_type: type, configure: Callable[[dict[str, Any]], Any]) -> tuple[Any, WorldSpec]:
    weights, header = read(path)
    if header.get("kind") != model_type.__name__:
        raise WorldsimError(f"{path} holds {header.get('kind')}, not {model_type.__name__}")
    try:
        model = model_type(configure(header["config"]))
    except TypeError as error:
        raise WorldsimError(f"{path} was written by another version of worldsim ({error}); train again") from error
    load_weights(path, model, weights)
    return model.eval().requires_grad_(False), WorldSpec.from_json(header["spec"])


def load_weights(path: Path, model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Put whole weights, read from `path`, into a model that may be sharded.

    Raises:
        WorldsimError: if they are of another model.
    """
    ours = model.state_dict()
    shapes, theirs = ({k: tuple(v.shape) for k, v in state.items()} for state in (ours, weights))
    if differing := sorted(k for k in {*shapes, *theirs} if shapes.get(k) != theirs.get(k)):
        raise WorldsimError(
            f"{path} is of another layout than this worldsim's {type(model).__name__} ({len(differing)} weights "
            f"differ, {differing[0]} the first); train again, or use the version that wrote it"
        )
    model.load_state_dict({key: sharded_as(weight, ours[key]) for key, weight in weights.items()})


def optimizer_tensors(name: str, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimizer as flat tensors, `<name>.<number of the parameter>.<key>`."""
    state = optimizer.state_dict()["state"]
    return {f"{name}.{i}.{key}": torch.as_tensor(v) for i, entry in state.items() for key, v in entry.items()}


def restore_optimizer(name: str, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` took, sharded as the parameters are.

    Raises:
        WorldsimError: if it is of another optimizer.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for path, tensor in tensors.items():
        owner, _, rest = path.partition(".")
        if owner != name:
            continue
        index, _, key = rest.partition(".")
        parameter = parameters[int(index)] if int(index) < len(parameters) else None
        if parameter is None or (tensor.ndim and tensor.shape != parameter.shape):
            raise WorldsimError(
                f"the checkpoint's {name} is of another layout than this worldsim's; give another --out"
            )
        state.setdefault(int(index), {})[key] = sharded_as(tensor, parameter)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
