"""`worldsim bench train`: how fast the dynamics of a world learn, by batch, threads, compiler and processes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import tyro
from rich.table import Table

from worldsim import atomic
from worldsim.errors import require
from worldsim.progress import ProgressBar
from worldsim.terminal import console


@dataclasses.dataclass(frozen=True)
class BenchTrainConfig:
    """Measure how fast a world learns: worldsim bench train doom-maze

    Attributes:
        world: a shipped world's name, the folder of a bundle, or tiny.
        out: folder of the report; `reports/NAME` if not given.
        device: auto, cpu, cuda, cuda:1 or mps.
        quick: small batches and few steps, not compiled, for a first look.
    """

    world: tyro.conf.Positional[str]
    out: Path | None = None
    device: str = "auto"
    quick: bool = False


def bench_train(config: BenchTrainConfig) -> None:
    """Measure, print a table and write `bench-train.json`.

    Raises:
        WorldsimError: for a world that can't be opened, a device that isn't there, or a missing package.
    """
    for module in ("torch", "einops", "tensorboard"):
        require(module, "train")
    import torch

    from worldsim.device import choose_device, has_compiler
    from worldsim.evals.instruments import training_speed as instrument
    from worldsim.models.config import WorldModelConfig
    from worldsim.runtime.bundle import open_world

    device = choose_device(config.device)
    model = instrument.TINY
    if config.world != "tiny":
        model = WorldModelConfig.from_json(open_world(config.world).configs["world_model"])
    cores, gpus = torch.get_num_threads(), torch.cuda.device_count() if device.type == "cuda" else 0
    base = instrument.Setting(device=str(device), steps=3 if config.quick else 10)
    most = gpus if device.type == "cuda" else min(cores, 2)
    processes = dataclasses.replace(base, processes=most, threads=max(1, cores // most), device=device.type)
    settings = [dataclasses.replace(base, batch=batch) for batch in ((2, 8) if config.quick else (2, 8, 32))]
    if device.type == "cpu" and cores > 1:
        settings.append(dataclasses.replace(base, threads=1))
    if most > 1:
        settings.append(processes)
    if not config.quick and has_compiler(device):
        settings.append(dataclasses.replace(base, compile=True))
    peak = instrument.matmul_peak(device)
    found = []
    with ProgressBar("measuring", len(settings)) as bar:
        for setting in settings:
            found.append(instrument.measure(model, setting, peak))
            bar.update(len(found))
    table = Table(title=f"Training {config.world} on {device}; largest matrix product {peak / 1e9:.0f} GFLOP/s")
    for column in ("clips a step", "threads", "compiled", "processes", "frames/s", "of peak"):
        table.add_column(column, justify="right")
    for speed in found:
        s = speed.setting
        row = str(s.batch), str(s.threads or cores), "yes" if s.compile else "no", str(s.processes)
        table.add_row(*row, f"{speed.frames:,.0f}", f"{speed.peak_share:.1%}")
    console().print(table)
    path = (config.out or Path("reports") / Path(config.world).name) / "bench-train.json"
    content = {"world": config.world, "device": str(device), "cores": cores, "matmul_peak": peak}
    rows = [dataclasses.asdict(speed) for speed in found]
    atomic.write_text(path, json.dumps({**content, "settings": rows}, indent=1) + "\n")
    console().print(f"wrote {path}", soft_wrap=True)
