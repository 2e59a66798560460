"""`worldsim bench`: how fast a world is here, beside the real one and what the machine can do. Measures no quality."""

from __future__ import annotations

import dataclasses
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from worldsim.cli.evaluate import progress, report_facts
from worldsim.cli.worlds import probes_of
from worldsim.errors import WorldsimError, require
from worldsim.evals import report
from worldsim.evals.instruments import speed
from worldsim.runtime.base import load_runtime
from worldsim.runtime.bundle import open_world
from worldsim.spec import WorldSpec

CALLS = {1: 200, 4: 60, 16: 24}  # at each batch size


@dataclasses.dataclass(frozen=True)
class BenchConfig:
    """Measure how fast a world is: worldsim bench doom-maze

    Attributes:
        world: a shipped world's name, or the folder of a bundle.
        out: where the report goes; `reports/NAME` if not given.
        quick: a tenth of the calls, for a first look.
    """

    world: tyro.conf.Positional[str]
    out: Path | None = None
    quick: bool = False


def bench(config: BenchConfig) -> None:
    """Measure, print, and write `bench.json` and `bench.html`.

    Raises:
        WorldsimError: for a world that can't be opened, or a missing package.
    """
    report.needed()
    require("torch", "train")
    require("einops", "train")
    bundle = open_world(config.world)
    calls = {batch: max(4, n // 10) if config.quick else n for batch, n in CALLS.items()}
    most = max(calls)
    starts = speed.start_up(bundle, 1 if config.quick else 3)
    runtimes = {"onnx": load_runtime(bundle), "torch eager": load_runtime(bundle, "torch")}
    with progress("timing, calls", sum(calls.values()) + 3 * len(calls)) as tick:
        steps = {batch: speed.step_times(runtimes, batch, n, tick) for batch, n in calls.items() if batch < most}
        runtimes["batch"] = load_runtime(bundle, "batch")
        steps[most] = speed.step_times(runtimes, most, calls[most], tick)
    decoder = {batch: speed.decoder_times(runtimes["onnx"], batch, n) for batch, n in calls.items()}
    section = speed.speed(bundle, steps, decoder, starts, speed.matmul_peak(), real_speed(bundle.spec))
    facts = report_facts(bundle, "bench", config.world)
    facts["machine"] = (
        f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    )
    title = f"How fast is {bundle.spec.title or bundle.spec.name}?"
    found = report.Report("bench", title, facts, [section], probes_of(bundle.spec).targets)
    console = report.wide_console()
    report.show(found, console)
    for path in report.write(found, config.out or Path("reports") / bundle.spec.name):
        console.print(f"wrote {path}", soft_wrap=True)


def real_speed(spec: WorldSpec, frames: int = 500) -> float | None:
    """Frames a second of the real world, headless, in this process; None where it can't be made."""
    from worldsim_envs.registry import make_real

    try:
        env: Any = make_real(spec.name, height=spec.height, width=spec.width)
    except WorldsimError:
        return None
    rng = np.random.default_rng(0)
    env.reset(seed=0)
    begun = time.perf_counter()
    for _ in range(frames):
        _, _, terminated, truncated, _ = env.step(np.int64(rng.integers(len(spec.actions))))
        if terminated or truncated:
            env.reset()
    seconds = time.perf_counter() - begun
    env.close()
    return frames / seconds
