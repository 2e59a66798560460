"""The arithmetic that networks learn in on a CPU: bfloat16 where the processor has it. Knows no network.

Where it has not, torch imitates it number by number: on an AVX2 core a bfloat16 product takes sixty times as long as
the float32 one, on AVX-512 cores with bfloat16 a fifth of it.
"""

from __future__ import annotations

import torch

NATIVE = torch.bfloat16 if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else torch.float32


def mixed_precision() -> torch.autocast:
    """A context in which products are made in `NATIVE`, and weights stay float32."""
    return torch.autocast("cpu", torch.bfloat16, enabled=NATIVE is torch.bfloat16)
