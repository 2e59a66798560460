"""What every training loop shares: the schedule, the checkpoint, the average, the progress bar, the curves.

Knows no model and no loss.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from worldsim.errors import WorldsimError
from worldsim.progress import ProgressBar
from worldsim.train import checkpoint

SAVE_EVERY = 60.0  # seconds


def rate(step: int, steps: int, warm_up: int = 200, decay: float = 0.25) -> float:
    """Learning rate as a share of its peak: linear warm-up, constant, then one linear decay over the last part."""
    return min(1.0, (step + 1) / warm_up, max(0.0, (steps - step) / (decay * steps)))


def step_generator(seed: int, step: int) -> torch.Generator:
    """Random numbers of one training step."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


class Average:
    """Exponential moving average of a model's weights, in float32; shorter in the beginning."""

    def __init__(self, model: nn.Module, decay: float = 0.999):
        self.decay = decay
        self.weights = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the model's weights."""
        decay = min(self.decay, (step + 1) / (step + 10))
        new = model.state_dict()
        floats = [k for k, v in new.items() if v.is_floating_point()]
        torch._foreach_lerp_([self.weights[k] for k in floats], [new[k] for k in floats], 1 - decay)
        for k in new.keys() - set(floats):
            self.weights[k].copy_(new[k])


class Loop:
    """Run a training step until `steps`, resumable at any moment from the last checkpoint in `out`.

    Args:
        out: folder of the run.
        name: of what is trained: `<name>.checkpoint` and the curves carry it.
        model: trained in place. optimizers: stepped by the caller's step function, saved here.
        config: JSON of everything that decides the result, except the number of steps; a checkpoint of another one is
            refused.
        steps: when to stop.
    """

    def __init__(
        self,
        out: Path,
        name: str,
        model: nn.Module,
        optimizers: list[torch.optim.Optimizer],
        config: dict[str, Any],
        steps: int,
    ):
        self.out, self.name, self.model, self.optimizers, self.steps = out, name, model, optimizers, steps
        self.config = json.loads(json.dumps(config))  # as a checkpoint gives it back
        self.average = Average(model)
        self.path = out / f"{name}.checkpoint"
        self.step = self._resume() if self.path.exists() else 0
        self.curves = SummaryWriter(str(out / "curves" / name), purge_step=self.step)

    def run(
        self,
        train_step: Callable[[int], dict[str, Tensor]],
        watch: Callable[[int], dict[str, float]],
        watch_every: float = 240.0,
    ) -> None:
        """Train to the end.

        Args:
            train_step: step number -> what to plot; has moved the weights when it returns.
            watch: step number -> what to plot of a look at the model from outside.
            watch_every: seconds between two looks; there is one more at the end.
        """
        saved = watched = time.monotonic()
        with ProgressBar(self.name, self.steps, self.step) as progress:
            while self.step < self.steps:
                share = rate(self.step, self.steps)
                for optimizer in self.optimizers:
                    for group in optimizer.param_groups:
                        group["lr"] = group["peak"] * share
                values = train_step(self.step)
                self.average.update(self.model, self.step)
                self.step += 1
                if self.step % 20 == 0:
                    plain = {k: float(v) for k, v in values.items()}
                    if any(v != v for v in plain.values()):
                        raise WorldsimError(
                            f"training of {self.name} diverged at step {self.step}; lower --rate and resume"
                        )
                    self._plot(plain)
                    progress.update(self.step, f"loss {plain['loss']:.4f}")
                now = time.monotonic()
                if now - watched > watch_every or self.step == self.steps:
                    self._plot(watch(self.step))
                    watched = time.monotonic()
                if now - saved > SAVE_EVERY or self.step == self.steps:
                    self.save()
                    saved = time.monotonic()
        self.curves.close()

    def save(self) -> None:
        """Write the checkpoint."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.weights.items()}
        for i, optimizer in enumerate(self.optimizers):
            tensors |= checkpoint.optimizer_tensors(f"optimizer{i}", optimizer)
        checkpoint.write(self.path, tensors, {"config": self.config, "step": self.step})

    def _plot(self, values: dict[str, float]) -> None:
        for key, value in values.items():
            self.curves.add_scalar(f"{self.name}/{key}", value, self.step)

    def _resume(self) -> int:
        tensors, header = checkpoint.read(self.path)
        if header["config"] != self.config:
            theirs, ours = header["config"], self.config
            differing = sorted(k for k in {*theirs, *ours} if theirs.get(k) != ours.get(k))
            raise WorldsimError(
                f"{self.path} was trained with other settings ({', '.join(differing)}); give another --out"
            )

        def part(owner: str) -> dict[str, Tensor]:
            return {k.removeprefix(f"{owner}."): v for k, v in tensors.items() if k.startswith(f"{owner}.")}

        self.model.load_state_dict(part("model"))
        self.average.weights = part("average")
        for i, optimizer in enumerate(self.optimizers):
            checkpoint.restore_optimizer(f"optimizer{i}", optimizer, tensors)
        return int(header["step"])


def with_peaks(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Remember each group's learning rate as the peak of the schedule."""
    for group in optimizer.param_groups:
        group["peak"] = group["lr"]
    return optimizer
