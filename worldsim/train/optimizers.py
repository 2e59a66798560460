"""What trains the weights: AdamW, and Muon (Jordan et al. 2024) for matrices. Knows no model.

torch's own Muon orthogonalises in bfloat16 everywhere, which takes longer than all the rest of a step where that is
imitated, and takes no convolutions; this one does it in the arithmetic that the processor has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from worldsim.device import product_dtype
from worldsim.train.distributed import sharded_as, whole

COEFFICIENTS = (3.4445, -4.775, 2.0315)  # of the quintic iteration
ITERATIONS = 5
SMALLEST = 1e-7  # norm that a gradient is divided by


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum, updates as large as AdamW's are; all matrices of one shape at once.

    A convolution `[out, in, ...]` is a matrix with a row for each output channel. Matrices that FSDP2 has sharded are
    gathered for the orthogonalisation, which every process makes for all of them.

    Args:
        params: of two dimensions or more.
        lr: learning rate, as one of AdamW. weight_decay, momentum: shares a step.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, weight_decay: float = 0.01, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        assert all(p.ndim >= 2 for group in self.param_groups for p in group["params"])

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move the weights. A closure is not taken."""
        assert closure is None
        for group in self.param_groups:
            alike = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    alike[p.shape].append(p)
            for shape, params in alike.items():
                grads = [p.grad for p in params]
                for p in params:
                    self.state[p].setdefault("momentum_buffer", torch.zeros_like(p))
                moments = [self.state[p]["momentum_buffer"] for p in params]
                torch._foreach_lerp_(moments, grads, 1 - group["momentum"])
                nesterov = torch._foreach_lerp(grads, moments, group["momentum"])
                made = orthogonal(torch.stack([whole(x).flatten(1) for x in nesterov]))
                updates = [sharded_as(x.view(shape), p) for x, p in zip(made.unbind(), params, strict=True)]
                size = 0.2 * max(made.shape[1:]) ** 0.5  # root mean square of an AdamW update (Liu et al. 2025)
                torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(params, updates, alpha=-size * group["lr"])


def adamw(model: nn.Module, lr: float, beta2: float = 0.95, weight_decay: float = 0.01) -> list[torch.optim.Optimizer]:
    """AdamW on everything that learns."""
    learning = [p for p in model.parameters() if p.requires_grad]
    return [torch.optim.AdamW(learning, lr=lr, betas=(0.9, beta2), weight_decay=weight_decay)]


def muon_and_adamw(model: nn.Module, hidden: Sequence[nn.Parameter], lr: float) -> list[torch.optim.Optimizer]:
    """Muon on the `hidden` matrices, if there are some, and AdamW at half the rate on everything else that learns."""
    chosen = {id(p) for p in hidden}
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in chosen]
    muon = [Muon(hidden, lr=lr)] if hidden else []
    return [*muon, torch.optim.AdamW(rest, lr=lr / 2, betas=(0.9, 0.95), weight_decay=0.0)]


def muon_on_convolutions(model: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """Muon on the convolutions, AdamW at half the rate on everything else that learns."""
    return muon_and_adamw(model, [p for p in model.parameters() if p.ndim > 2 and p.requires_grad], lr)


def orthogonal(x: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrices of `x` `[K, rows, columns]`, roughly: their singular values are near 1.

    By the quintic Newton-Schulz iteration of Muon.
    """
    a, b, c = COEFFICIENTS
    tall = x.shape[1] > x.shape[2]
    y = (x.mT if tall else x).to(product_dtype(x.device))
    y = y / y.norm(dim=(1, 2), keepdim=True).clamp(min=SMALLEST)
    for _ in range(ITERATIONS):
        gram = y @ y.mT
        y = torch.baddbmm(y, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), y, beta=a)
    return (y.mT if tall else y).to(x.dtype)
