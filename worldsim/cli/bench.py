"""`worldsim bench`: how fast worlds are here, beside the real ones and the machine's peak. Measures no quality."""

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
from worldsim.evals.section import Section, Table
from worldsim.runtime.bundle import Bundle, open_world
from worldsim.runtime.load import load_runtime
from worldsim.runtime.onnx import OnnxRuntime
from worldsim.spec import WorldSpec

CALLS = {1: 200, 4: 60, 16: 24, 64: 8}  # at each batch size
ROWS = 16  # the batch at which torch is compiled, in bfloat16


@dataclasses.dataclass(frozen=True)
class BenchConfig:
    """Measure how fast worlds are: worldsim bench doom-maze

    Attributes:
        worlds: shipped worlds' names, or folders of bundles.
        out: where the report goes, of several worlds a folder each below it; `reports/NAME` if not given.
        compare: the bench.json of another run, to show beside.
        quick: a tenth of the calls, for a first look.
    """

    worlds: tyro.conf.Positional[tuple[str, ...]]
    out: Path | None = None
    compare: Path | None = None
    quick: bool = False


def bench(config: BenchConfig) -> None:
    """Measure, print, and write `bench.json`, `bench.html` and `figures.json` for each world; of several worlds also
    one table of all, `bench-worlds.json` and `bench-worlds.html`.

    Raises:
        WorldsimError: for a world that can't be opened, a report that can't be read, or a missing package.
    """
    report.check_packages()
    require("torch", "train")
    require("einops", "train")
    if not config.worlds:
        raise WorldsimError("name a world: worldsim bench doom-maze")
    way_out = "Give --compare the bench.json of another worldsim bench."
    before = report.read_report(config.compare, way_out).figures if config.compare else {}
    bundles = [open_world(world) for world in config.worlds]
    rows: list[tuple[Any, ...]] = []
    for name, bundle in zip(config.worlds, bundles, strict=True):
        measured = _measure(bundle, config.quick)
        rows += [(bundle.spec.name, *row) for row in measured.rows()]
        section = speed.speed(bundle, measured)
        if before:
            section.tables.append(speed.comparison(section, before))
        title = f"How fast is {bundle.spec.title or bundle.spec.name}?"
        verdicts = report.judge_targets(probes_of(bundle.spec).targets, [section])
        folder = config.out / bundle.spec.name if config.out and len(bundles) > 1 else config.out
        found = report.Report("bench", title, _facts(bundle, name), [section], verdicts)
        publish(found, report_folder(folder, bundle.spec.name))
    if len(bundles) > 1:
        table = Table("All worlds", ("world", *speed.COLUMNS), rows)
        section = Section("bench-worlds", "Speed", "As in each world's own report, in one run.", tables=[table])
        facts = {**_facts(bundles[0], config.worlds[0]), "world": ", ".join(bundle.spec.name for bundle in bundles)}
        facts["weights"] = ", ".join(bundle.digest for bundle in bundles)
        publish(report.Report("bench-worlds", "How fast are they?", facts, [section]), config.out or Path("reports"))


def _facts(bundle: Bundle, world: str) -> dict[str, str]:
    facts = report_facts(bundle, "bench", world)
    facts["machine"] = (
        f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    )
    return facts


def _measure(bundle: Bundle, quick: bool) -> speed.Measured:
    calls = {batch: max(4, n // 10) if quick else n for batch, n in CALLS.items() if not quick or batch <= ROWS}
    few = 5 if quick else 25
    starts, held = speed.start_up(bundle, 1 if quick else 3)
    memory = {1: held}
    if not quick:
        memory |= {batch: speed.start_up(bundle, 1, batch)[1] for batch in calls if batch > 1}
    runtimes = {name: load_runtime(bundle, kind) for name, kind in (("onnx", "onnx"), ("torch eager", "torch"))}
    if isinstance(runtimes["onnx"], OnnxRuntime) and runtimes["onnx"].device == "cpu":
        runtimes["int8"] = load_runtime(bundle, "int8")
    steps = {}
    with progress("timing, calls", sum(calls.values()) + 3 * len(calls)) as on_progress:
        for batch, count in calls.items():
            taking = {**runtimes, "batch": load_runtime(bundle, "batch")} if batch == ROWS else runtimes
            steps[batch] = speed.step_times(taking, batch, count, on_progress)
    onnx, torch_eager = runtimes["onnx"], runtimes["torch eager"]
    pair = {"onnx": onnx, "torch eager": torch_eager}
    return speed.Measured(
        steps=steps,
        decoder={batch: speed.decoder_times(pair, batch, n) for batch, n in calls.items()},
        starts=starts,
        memory=memory,
        play=speed.play_costs(onnx, few),
        context=speed.context_times(onnx, few),
        operations=speed.operations(bundle),
        peak=speed.matmul_peak(),
        real_fps=real_speed(bundle.spec),
    )


def real_speed(spec: WorldSpec, frames: int = 500) -> float | None:
    """Frames a second of the real world, headless, in this process.

    None where it is not one of worldsim's own worlds (a bundle's name never decides what is imported), or a package of
    it is missing.
    """
    from worldsim_envs.registry import make_real, world_entry

    if not world_entry(spec.name).env:
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
