"""Training by several processes, as torchrun starts them; one process is the plain case of it. Knows no model.

Every process draws the whole batch's indices and noise and keeps its own rows of them, so R processes train on what one
would. Gradients are averaged by DDP or FSDP2 (`worldsim.train.trainer`).
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.rendezvous import rendezvous
from torch.distributed.tensor import DTensor, distribute_tensor

from worldsim.errors import WorldsimError

TIMEOUT = datetime.timedelta(minutes=30)  # longer than a compilation or a preview, in which the others wait
PATIENCE = datetime.timedelta(days=7)  # what the main process does first may take long: encoding a recording

_store: Any = None  # what the processes tell each other by, while there are several
_turns = itertools.count()


class PeerLostError(WorldsimError):
    """Another process of the training ended, or stopped to answer."""


@contextlib.contextmanager
def processes(device: torch.device, timeout: datetime.timedelta = TIMEOUT) -> Iterator[torch.device]:
    """Be one of the processes that torchrun started, if it did; yields this process's device. What is wrong in several
    of them is raised in one; the others end with exit code 2.

    Raises:
        PeerLostError: if another process ends, or does not answer for `timeout`.
        WorldsimError: if there are more processes than devices.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    try:
        with _group(_own_device(device), timeout) as device:
            yield device
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        minutes = timeout.total_seconds() / 60
        lost = PeerLostError(
            f"a process of this training ended, or did not answer for {minutes:.0f} minutes. Run the same command "
            "again: it goes on from the last checkpoint."
        )
        _say_once(lost)
        raise lost from error
    except WorldsimError as error:
        _say_once(error)
        raise


@contextlib.contextmanager
def _group(device: torch.device, timeout: datetime.timedelta) -> Iterator[torch.device]:
    global _store
    _store, rank, size = next(rendezvous("env://", timeout=timeout))
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=_store, rank=rank, world_size=size, timeout=timeout)
    yield device
    dist.destroy_process_group()  # only if all went well: it would wait for a process that is gone
    _store = None


def _own_device(device: torch.device) -> torch.device:
    if device.type == "cpu":
        return device
    local, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count() if device.type == "cuda" else 1
    if local >= count:
        raise WorldsimError(
            f"a process for each of {count} {device.type} devices: give torchrun --nproc-per-node {count}"
        )
    if device.type == "cuda":
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    return device


def _say_once(error: WorldsimError) -> None:
    """End this process quietly if another one has said the same."""
    with contextlib.suppress(RuntimeError):  # whoever kept the list is gone
        if _store is not None and _store.add(f"worldsim said {error}", 1) > 1:
            raise SystemExit(2)


def rank() -> int:
    """Number of this process, 0 for the main one, which writes and shows."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this process is the one that writes and shows."""
    return rank() == 0


def own_rows(batch: int) -> slice:
    """This process's rows of a batch, which divides by the number of processes."""
    size = world_size()
    assert batch % size == 0, (batch, size)
    return slice(rank() * batch // size, (rank() + 1) * batch // size)


def means(values: list[float]) -> list[float]:
    """Means of numbers over all processes, which wait for each other."""
    return (_reduced(values, dist.ReduceOp.SUM) / world_size()).tolist() if world_size() > 1 else values


def mean(tensor: Tensor) -> Tensor:
    """Mean of all numbers of the tensors of all processes, which have as many: a scalar on their device."""
    return _mean_of_processes(tensor.mean()) if world_size() > 1 else tensor.mean()


def agree(elapsed: float, stop: bool) -> tuple[float, bool]:
    """What all processes agree on: the main one's clock, and whether any was asked to stop."""
    if world_size() == 1:
        return elapsed, stop
    agreed = _reduced([elapsed if is_main() else 0.0, float(stop)], dist.ReduceOp.MAX)
    return float(agreed[0]), bool(agreed[1])


def _reduced(values: list[float], how: dist.ReduceOp.RedOpType) -> Tensor:
    tensor = torch.tensor(values, dtype=torch.float64)  # in memory: no GPU is waited for
    dist.all_reduce(tensor, how)
    return tensor


@contextlib.contextmanager
def main_first() -> Iterator[None]:
    """A block that the main process runs alone, and the others when it is done: they find what it wrote.

    Raises:
        PeerLostError: in the others, if it fails in the main one.
    """
    if _store is None:
        yield
        return
    turn = f"worldsim turn {next(_turns)}"
    if not is_main():
        _store.wait([turn], PATIENCE)
        if _store.get(turn) != b"done":
            raise PeerLostError("the main process of this training has failed; its own message says why")
        yield
        return
    try:
        yield
    except BaseException:
        _store.set(turn, "failed")
        raise
    _store.set(turn, "done")


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor that may be sharded. All processes have to ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def sharded_as(tensor: Tensor, other: Tensor) -> Tensor:
    """A whole tensor, the same in all processes, sharded as `other` is, if it is of the same shape."""
    if not isinstance(other, DTensor) or tensor.shape != other.shape:
        return tensor
    moved = tensor.to(other.device)
    return distribute_tensor(moved, other.device_mesh, other.placements, src_data_rank=None)


@contextlib.contextmanager
def gathered(module: nn.Module) -> Iterator[None]:
    """A block in which the weights of a module are whole, if FSDP2 has sharded them. All processes have to enter."""
    if not isinstance(module, FSDPModule):
        yield
        return
    module.unshard()
    try:
        yield
    finally:
        module.reshard()


class SharedBatchNorm(nn.BatchNorm2d):
    """A batch normalisation without weights whose statistics are those of the batches of all processes, on any device
    (torch's own `SyncBatchNorm` runs on GPUs alone)."""

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, h, w]` -> the same shape."""
        if not self.training or world_size() == 1:
            return super().forward(x)
        shared: Callable[[Tensor], Tensor] = _SharedMean.apply
        mean = shared(x.mean((0, 2, 3)))[:, None, None]
        variance = shared((x - mean).square().mean((0, 2, 3)))[:, None, None]
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
            count = world_size() * x[:, 0].numel()
            self.running_mean.lerp_(mean.flatten(), self.momentum)
            self.running_var.lerp_(variance.flatten() * count / (count - 1), self.momentum)
        return (x - mean) * (variance + self.eps).rsqrt()


class _SharedMean(torch.autograd.Function):
    """Mean over the processes; so is its gradient, which DDP then averages once more, as any other."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        return _mean_of_processes(x)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return _mean_of_processes(gradients[0])


def _mean_of_processes(x: Tensor) -> Tensor:
    found = x.clone()
    dist.all_reduce(found)
    return found / world_size()
