"""How networks run fast on a CPU: in bfloat16 where the processor has it, compiled where there is a compiler, and with
memory that is kept. Knows no network.

Where it has not, torch imitates it number by number: on an AVX2 core a bfloat16 product takes sixty times as long as
the float32 one, on AVX-512 cores with bfloat16 a fifth of it.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import torch

NATIVE = torch.bfloat16 if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else torch.float32


def mixed_precision() -> torch.autocast:
    """A context in which products are made in `NATIVE`, and weights stay float32."""
    return torch.autocast("cpu", torch.bfloat16, enabled=NATIVE is torch.bfloat16)


def has_compiler() -> bool:
    """Whether `torch.compile` finds a C++ compiler."""
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
