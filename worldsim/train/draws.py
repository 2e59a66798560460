"""The random numbers of one training step: a function of (seed, step), and of which rows are this process's."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from worldsim.device import DevicePolicy
from worldsim.train import distributed

Rows = TypeVar("Rows", Tensor, np.ndarray)


class Draws:
    """One step of a training as this process sees it.

    Random numbers are drawn for the whole batch, on the CPU, and the own rows of them kept: they are the same on every
    device, and R processes draw together what one alone would.

    Attributes:
        seed, step: what they are a function of.
        batch: rows of all processes together.
        share: of the training that is over, 0 to 1.
        rows: this process's.
        generator: of what all rows share, and of draws by others; the same in all processes.
    """

    def __init__(self, seed: int, step: int, batch: int, share: float, policy: DevicePolicy):
        self.seed, self.step, self.batch, self.share = seed, step, batch, share
        self.generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        self._policy, self.rows = policy, distributed.own_rows(batch)

    def rand(self, *shape: int) -> Tensor:
        """Uniform in [0, 1): `[rows, *shape]`."""
        return self.own(torch.rand((self.batch, *shape), generator=self.generator))

    def randn(self, *shape: int) -> Tensor:
        """Standard normal: `[rows, *shape]`."""
        return self.own(torch.randn((self.batch, *shape), generator=self.generator))

    def integer(self, low: int, high: int) -> int:
        """A whole number from `low` to below `high`, one for all rows."""
        return int(torch.randint(low, high, (), generator=self.generator))

    def own(self, values: Rows) -> Rows:
        """This process's rows of the whole batch's `[batch, ...]`; those of a tensor are on the device."""
        rows: Rows = values[self.rows]
        return self.put(rows) if isinstance(rows, Tensor) else rows

    def put(self, values: Any) -> Any:
        """Tensors, alone or in tuples, on the device."""
        return self._policy.put(values)

    def of(self, seed: int, batch: int) -> Draws:
        """Others of the same step."""
        return Draws(seed, self.step, batch, self.share, self._policy)
