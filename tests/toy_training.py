"""A training of seconds, for tests of the trainer: run as a program, it is one process of several.

python toy_training.py '{"out": ..., "steps": 8, "batch": 12}' prints the loss of every step as JSON.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from square import EAGER, train_everything
from torch import Tensor, nn

from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError
from worldsim.train import distributed
from worldsim.train import trainer as trainer_module
from worldsim.train.draws import Draws
from worldsim.train.optimizers import Muon
from worldsim.train.trainer import RunOptions, Trainer


@dataclasses.dataclass(frozen=True)
class ToyTraining:
    """What a trainer asks for."""

    steps: int
    batch: int
    seed: int
    lr: float


class Toy(nn.Module):
    """Two matrices for Muon, of sizes that don't divide by the number of processes, and the rest for AdamW."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 9), nn.Linear(9, 5)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 6]` -> `[B, 5]`."""
        return self.second(self.first(x).tanh())


class ToyLoss(nn.Module):
    """What a trainer asks for: a scalar loss, and something with the rows first."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, given: tuple[Tensor, None], target: Tensor) -> dict[str, Tensor]:
        """Mean squared error of `[B, 6]` -> `[B, 5]`."""
        rows = (self.model(given[0]) - target).square().mean(1)
        return {"loss": rows.mean(), "rows": rows}


def optimizers(model: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """Both kinds that the dynamics use."""
    matrices, rest = ([p for p in model.parameters() if (p.ndim == 2) == two] for two in (True, False))
    return [Muon(matrices, lr=lr / 2), torch.optim.AdamW(rest, lr=lr / 5)]


def toy_trainer(out: Path, steps: int = 8, batch: int = 12, lr: float = 0.1, **options: Any) -> Trainer:
    """A trainer of a toy."""
    torch.manual_seed(0)
    model = Toy()
    run = RunOptions(torch.device("cpu"), **{"compile": False, **options})
    return Trainer(out, "toy", model, ToyLoss(model), optimizers, ToyTraining(steps, batch, 3, lr), {}, options=run)


def train_toy(trainer: Trainer, losses: list[float], die_at: int = -1, hang_at: int = -1) -> nn.Module:
    """Train it, and list the loss of every step."""

    def train_step(draws: Draws) -> dict[str, Tensor]:
        if draws.step in (die_at, hang_at) and distributed.rank() == distributed.world_size() - 1:
            os.kill(os.getpid(), signal.SIGKILL if draws.step == die_at else signal.SIGSTOP)
        x = draws.randn(6)
        with trainer.averaged() as average, torch.no_grad():
            noise = 0.01 * average(x)
        made = trainer.update((x, None), x[:, :5].sin() + noise)
        assert made["rows"].shape == (len(x),)
        losses.append(distributed.means([float(made["loss"])])[0])
        return made

    return trainer.run(train_step, lambda step, learned: {"bias": float(learned.first.bias.detach().norm())})


def main() -> int:
    """Run one process."""
    arguments = json.loads(sys.argv[1])
    patience = datetime.timedelta(seconds=arguments.pop("timeout", 60))
    how = {key: arguments.pop(key) for key in ("die_at", "hang_at") if key in arguments}
    if "save_every" in arguments:
        trainer_module.SAVE_EVERY = arguments.pop("save_every")
    losses: list[float] = []
    try:
        with distributed.processes(torch.device("cpu"), patience):
            if "recording" in arguments:
                trainer_module.PLOT_EVERY = 1
                options = dataclasses.replace(EAGER, fsdp=arguments["fsdp"])
                train_everything(Recording(arguments["recording"]), Path(arguments["out"]), options)
                return 0
            trainer = toy_trainer(Path(arguments.pop("out")), **arguments)
            learned = train_toy(trainer, losses, **how)
            weights = {key: value.tolist() for key, value in learned.state_dict().items()}
    except WorldsimError as error:
        print(f"worldsim: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"losses": losses, "weights": weights}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
