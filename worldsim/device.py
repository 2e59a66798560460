"""What a network runs on, and what that device is good at. Knows no network.

A CPU gets bfloat16 only where it has it: where it has not, torch imitates it number by number, and on an AVX2 core a
bfloat16 product takes sixty times as long as the float32 one.
"""

from __future__ import annotations

import ctypes
import dataclasses
import importlib.util
import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from worldsim.errors import WorldsimError

RESIDENT = 0.5  # share of the free memory of a device that a data set may take


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`: "auto" (the first there is of cuda, mps and cpu), "cpu", "cuda", "cuda:1" or "mps".

    Raises:
        WorldsimError: if there is no such device here.
    """
    there = available_devices()
    if name == "auto":
        return torch.device(there[0])
    if (full := "cuda:0" if name == "cuda" else name) not in there:
        raise WorldsimError(f"no device {name!r} here; give --device auto, or one of {', '.join(there)}")
    return torch.device(full)


def available_devices() -> list[str]:
    """Names of the devices of this machine, the fastest kind first."""
    cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return [*cuda, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def product_dtype(device: torch.device | str) -> torch.dtype:
    """The number format in which matrix products are fast on a device: bfloat16, or float32 where it has none.

    Never float16: its gradients would have to be scaled.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif kind == "mps":
        native = torch.backends.mps.is_macos_or_newer(14, 0)
    else:
        native = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return torch.bfloat16 if native else torch.float32


NATIVE = product_dtype("cpu")


def mixed_precision(device: torch.device | str = "cpu") -> torch.autocast:
    """A context in which products are made in the device's `product_dtype`, and weights stay float32."""
    dtype = product_dtype(device)
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=dtype is torch.bfloat16)


@dataclasses.dataclass(frozen=True)
class DevicePolicy:
    """What is chosen by the device and not by the model.

    Attributes:
        device: where it runs.
        compiles: whether `torch.compile` works on it.
    """

    device: torch.device
    compiles: bool

    def put(self, value: Any) -> Any:
        """Tensors, alone or in (named) tuples, on the device; others as they are. Pages are pinned for a GPU, so that
        the copy runs beside what the GPU does."""
        if isinstance(value, Tensor):
            if self.device.type == "cuda" and value.device.type == "cpu":
                return value.pin_memory().to(self.device, non_blocking=True)
            return value.to(self.device)
        return map_tuple(self.put, value) if isinstance(value, tuple) else value

    def fits(self, size: int) -> bool:
        """Whether `size` bytes may stay on the device, beside what training needs. What is in memory needs no place."""
        if self.device.type == "cuda":
            return size <= RESIDENT * torch.cuda.mem_get_info(self.device)[0]
        return self.device.type == "cpu"  # the memory of an MPS device is the machine's own


def policy_of(device: torch.device) -> DevicePolicy:
    """What suits a device of this machine."""
    return DevicePolicy(device, has_compiler(device))


def has_compiler(device: torch.device | str = "cpu") -> bool:
    """Whether `torch.compile` finds what it needs for a device: a C++ compiler for the CPU, Triton for CUDA."""
    kind = torch.device(device).type
    if kind != "cpu":
        return kind == "cuda" and importlib.util.find_spec("triton") is not None
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except (InvalidCxxCompiler, RuntimeError):
        return False
    return True


def keep_memory() -> None:
    """Tell glibc not to map and unmap large tensors at every step, which costs more than the arithmetic."""
    if sys.platform == "linux":
        libc: Any = ctypes.CDLL(None)
        for parameter, value in ((-4, 0), (-1, 2**31 - 1)):  # M_MMAP_MAX, M_TRIM_THRESHOLD of malloc.h
            if hasattr(libc, "mallopt"):
                libc.mallopt(parameter, value)


def map_tuple(function: Any, values: Iterable[Any]) -> Any:
    """`function` of each of `values`, in a tuple of the same type."""
    made = [function(value) for value in values]
    return type(values)(*made) if hasattr(values, "_fields") else tuple(made)
