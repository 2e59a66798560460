"""Muon with its orthogonalisation in the arithmetic that the processor has. Knows no model.

torch's own makes it in bfloat16 everywhere, which takes longer than all the rest of a step where that is imitated.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from worldsim.device import product_dtype
from worldsim.train.distributed import sharded_as, whole


class Muon(torch.optim.Muon):
    """torch's (Jordan et al. 2024), Nesterov and "match_rms_adamw" only, all matrices of one shape at once.

    Matrices that FSDP2 has sharded are gathered for the orthogonalisation, which every process makes for all of them.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move the weights. A closure is not taken."""
        assert closure is None
        for group in self.param_groups:
            alike = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    alike[p.shape].append(p)
            for (rows, columns), params in alike.items():
                grads = [p.grad for p in params]
                for p in params:
                    self.state[p].setdefault("momentum_buffer", torch.zeros_like(p))
                moments = [self.state[p]["momentum_buffer"] for p in params]
                torch._foreach_lerp_(moments, grads, 1 - group["momentum"])
                nesterov = torch._foreach_lerp(grads, moments, group["momentum"])
                stacked = torch.stack([whole(x) for x in nesterov])
                made = orthogonal(stacked, group["ns_coefficients"], group["ns_steps"], group["eps"])
                updates = [sharded_as(x, p) for x, p in zip(made.unbind(), params, strict=True)]
                torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(params, updates, alpha=-0.2 * max(rows, columns) ** 0.5 * group["lr"])


def orthogonal(x: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """The nearest semi-orthogonal matrices of `x` `[K, rows, columns]`, roughly: their singular values are near 1.

    By the quintic Newton-Schulz iteration of Muon.
    """
    a, b, c = coefficients
    tall = x.shape[1] > x.shape[2]
    y = (x.mT if tall else x).to(product_dtype(x.device))
    y = y / y.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = y @ y.mT
        y = torch.baddbmm(y, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), y, beta=a)
    return (y.mT if tall else y).to(x.dtype)
