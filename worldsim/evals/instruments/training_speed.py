"""How fast the dynamics learn: steps on clips of noise, in processes of their own, which agree on threads and compiler.

Run as a program it is one of these processes: python -m worldsim.evals.instruments.training_speed SETTING.json
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from worldsim.data.latents import PastFrames
from worldsim.device import choose_device, product_dtype
from worldsim.errors import WorldsimError
from worldsim.models.config import WorldModelConfig
from worldsim.models.dit import DiTConfig
from worldsim.models.retention import capacity
from worldsim.models.world_model import WorldModel
from worldsim.train import distributed
from worldsim.train.clip_batches import ClipBatch
from worldsim.train.dynamics import ClipLoss, DynamicsTraining, optimizers
from worldsim.train.trainer import RunOptions, Trainer

TINY = WorldModelConfig(dit=DiTConfig(width=64, heads=2, depth=2, temporal_layers=(1,), window=8)).fit((8, 8, 8), 4)


@dataclasses.dataclass(frozen=True)
class Setting:
    """How a training runs.

    Attributes:
        batch: clips a step, in all processes together. length: frames of a clip that are learned from.
        threads: of each process; 0 for what torch takes. processes: how many.
        steps: that are timed.
    """

    batch: int = 8
    length: int = 24
    threads: int = 0
    compile: bool = False
    processes: int = 1
    device: str = "cpu"
    steps: int = 10


@dataclasses.dataclass(frozen=True)
class TrainingSpeed:
    """What was measured of a setting.

    Attributes:
        frames: learned from in a second. peak_share: operations a second, of those of the largest matrix product.
    """

    setting: Setting
    frames: float
    peak_share: float


def matmul_peak(device: torch.device, size: int = 2048, calls: int = 6) -> float:
    """Operations a second of a matrix product in the number format that a training uses, the best of several."""
    matrix = torch.randn(size, size, device=device, dtype=product_dtype(device))
    seconds = []
    for _ in range(calls):
        begun = time.perf_counter()
        (matrix @ matrix)[0, 0].item()
        seconds.append(time.perf_counter() - begun)
    return 2 * size**3 / min(seconds)


def operations(config: WorldModelConfig, length: int) -> int:
    """Of one training step on one clip, forward and backward, as torch counts them."""
    loss = ClipLoss(WorldModel(config), DynamicsTraining())
    counter = FlopCounterMode(display=False)
    with counter:
        loss(*noise_batch(config, 1, length))["loss"].backward()
    return counter.get_total_flops()


def measure(config: WorldModelConfig, setting: Setting, peak: float, timeout: float = 1800) -> TrainingSpeed:
    """Train for some steps as `setting` says.

    Args:
        peak: of `matmul_peak`.

    Raises:
        WorldsimError: if the training fails.
    """
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        file = Path(folder) / "setting.json"
        given = {"model": dataclasses.asdict(config), "setting": dataclasses.asdict(setting), "out": folder}
        file.write_text(json.dumps(given), "utf-8")
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        where |= {"WORLD_SIZE": str(setting.processes)}
        free.close()
        command = [sys.executable, "-P", "-m", "worldsim.evals.instruments.training_speed", str(file)]
        started = [
            subprocess.Popen(
                command,
                env={**os.environ, **where, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(setting.processes)
        ]
        try:
            printed = [process.communicate(timeout=timeout) for process in started]
        finally:
            for process in started:
                process.kill()
    if any(process.returncode for process in started):
        last = next(err for process, (_, err) in zip(started, printed, strict=True) if process.returncode)
        raise WorldsimError(f"the training of {setting} failed: {(last.strip().splitlines() or ['killed'])[-1]}")
    seconds = float(printed[0][0].splitlines()[-1])
    clips = setting.batch / seconds
    return TrainingSpeed(setting, clips * setting.length, clips * operations(config, setting.length) / peak)


def noise_batch(config: WorldModelConfig, rows: int, length: int) -> ClipBatch:
    """Clips of noise, after a full memory of noise where there is memory."""
    rows_by_columns = config.token_grid[0] * config.token_grid[1]
    context, target, noise = (torch.randn(rows, length, rows_by_columns, config.token_width) for _ in range(3))
    actions = torch.zeros(rows, length, dtype=torch.int64)
    mask = torch.ones(target.shape[:-1], dtype=torch.bool)
    weight = torch.ones(*target.shape[:-1], config.layers * config.patch_cells)
    zeros, state = torch.zeros(rows, length), torch.zeros(rows, length, config.state)
    past = None
    if config.memory:
        slots = capacity(config.memory.retention)
        before, after = (torch.randn(rows, slots, rows_by_columns, config.token_width) for _ in range(2))
        age = torch.arange(slots, 0, -1).expand(rows, -1)
        poses = torch.zeros(rows, slots, 2, config.pose_width // 2) if config.view else None
        past = PastFrames(before, after, torch.zeros_like(age), age, poses)
    one = torch.ones(())
    noised = noise[:, :, None], zeros[:, :, None]
    return ClipBatch(context, actions, target, *noised, mask, weight, one, zeros, zeros, state, past)


def main() -> int:
    """One process of a training; the main one prints the median seconds of a step."""
    given: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    config, setting = WorldModelConfig.from_json(given["model"]), Setting(**given["setting"])
    if setting.threads:
        torch.set_num_threads(setting.threads)
    with distributed.processes(choose_device(setting.device)) as device:
        options = RunOptions(device, compile=setting.compile)
        model, training = WorldModel(config), DynamicsTraining(steps=setting.steps, batch=setting.batch, lr=1e-4)
        trainer = Trainer(
            Path(given["out"]),
            "bench",
            model,
            ClipLoss(model, training),
            optimizers,
            training,
            {},
            options=options,
        )
        batch = trainer.policy.put(noise_batch(config, setting.batch // setting.processes, setting.length))
        seconds = []
        for _ in range(setting.steps + 2):  # the first compiles, the second is not yet at full speed
            begun = time.perf_counter()
            float(trainer.update(*batch)["loss"])
            seconds.append(time.perf_counter() - begun)
        if distributed.is_main():
            print(sorted(seconds[2:])[setting.steps // 2])
    return 0


if __name__ == "__main__":
    sys.exit(main())
