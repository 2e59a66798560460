"""`worldsim bench`: how fast a world is here, beside the real one and the machine's peak. Measures no quality."""

from __future__ import annotations

import dataclasses
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from worldsim.cli.reporting import progress, publish, report_facts, report_folder
from worldsim.cli.worlds import probes_of
from worldsim.errors import WorldsimError, require
from worldsim.evals import report
from worldsim.evals.instruments import speed
from worldsim.evals.section import Section
from worldsim.runtime.bundle import Bundle, open_world
from worldsim.runtime.load import load_runtime
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
    """Measure, print, and write `bench.json`, `bench.html` and `figures.json`.

    Raises:
        WorldsimError: for a world that can't be opened, or a missing package.
    """
    report.check_packages()
    require("torch", "train")
    require("einops", "train")
    bundle = open_world(config.world)
    section = _measure(bundle, config.quick)
    facts = report_facts(bundle, "bench", config.world)
    facts["machine"] = (
        f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    )
    title = f"How fast is {bundle.spec.title or bundle.spec.name}?"
    verdicts = report.judge_targets(probes_of(bundle.spec).targets, [section])
    publish(report.Report("bench", title, facts, [section], verdicts), report_folder(config.out, bundle.spec.name))


def _measure(bundle: Bundle, quick: bool) -> Section:
    calls = {batch: max(4, n // 10) if quick else n for batch, n in CALLS.items()}
    most = max(calls)
    starts = speed.start_up(bundle, 1 if quick else 3)
    runtimes = {"onnx": load_runtime(bundle), "torch eager": load_runtime(bundle, "torch")}
    with progress("timing, calls", sum(calls.values()) + 3 * len(calls)) as on_progress:
        steps = {batch: speed.step_times(runtimes, batch, n, on_progress) for batch, n in calls.items() if batch < most}
        runtimes["batch"] = load_runtime(bundle, "batch")
        steps[most] = speed.step_times(runtimes, most, calls[most], on_progress)
    decoder = {batch: speed.decoder_times(runtimes["onnx"], batch, n) for batch, n in calls.items()}
    return speed.speed(bundle, steps, decoder, starts, speed.matmul_peak(), real_speed(bundle.spec))


def real_speed(spec: WorldSpec, frames: int = 500) -> float | None:
    """Frames a second of the real world, headless, in this process.

    None where it is not one of worldsim's own worlds (a bundle's name never decides what is imported), or a package of
    it is missing.
    """
    from worldsim_envs.registry import WORLDS, make_real

    if spec.name not in WORLDS:
        return None
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
