"""Muon against torch's own."""

from __future__ import annotations

import torch

from worldsim.train.optimizers import Muon, orthogonal


def test_muon_moves_as_torchs_own() -> None:
    """It differs from it by the arithmetic of bfloat16, at most."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    start = [random(32, 32), random(32, 32), random(48, 32), random(32, 48)]
    ours, theirs = ([torch.nn.Parameter(p.clone()) for p in start] for _ in range(2))
    one = Muon(ours, lr=0.01, weight_decay=0.1)
    other = torch.optim.Muon(theirs, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = random(*p.shape)
            q.grad = p.grad.clone()
        one.step()
        other.step()
    for p, q, before in zip(ours, theirs, start, strict=True):
        assert (p - q).norm() < 0.05 * (q - before).norm()


def test_orthogonal_matrices_have_singular_values_near_one() -> None:
    made = orthogonal(torch.randn(2, 24, 40))
    values = torch.linalg.svdvals(made)
    assert values.min() > 0.5 and values.max() < 1.4


def test_a_convolution_moves_as_the_matrix_of_its_output_channels() -> None:
    kernel = torch.nn.Parameter(torch.randn(8, 4, 3, 3))
    matrix = torch.nn.Parameter(kernel.detach().flatten(1).clone())
    kernel.grad = torch.randn(8, 4, 3, 3)
    matrix.grad = kernel.grad.flatten(1).clone()
    Muon([kernel], lr=0.01).step()
    Muon([matrix], lr=0.01).step()
    torch.testing.assert_close(kernel.detach().flatten(1), matrix.detach())
