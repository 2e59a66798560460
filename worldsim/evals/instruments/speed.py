"""Speed: frames a second of a world, and the share of the machine's peak it reaches. Knows no real world.

B batch, C x h x w latents, H x W pixels
"""

from __future__ import annotations

import dataclasses
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import worldsim
from worldsim.errors import WorldsimError
from worldsim.evals.core import ProgressCallback, no_progress
from worldsim.evals.section import Curves, Figure, Section, Table
from worldsim.runtime.base import Runtime
from worldsim.runtime.bundle import Bundle
from worldsim.runtime.session import Session

BATCHES = (1, 4, 16)
START_UP = """
import sys
sys.path.insert(0, sys.argv[2])
import numpy as np
from worldsim.runtime.bundle import open_world
from worldsim.runtime.load import load_runtime
from worldsim.runtime.session import Session
session = Session(load_runtime(open_world(sys.argv[1])))
session.step(session.start([0], [0]), np.array([session.spec.noop]))
"""


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds that each of a number of calls took, at one batch size."""

    batch: int
    seconds: list[float]

    @property
    def fps(self) -> float:
        """Frames a second of all rows together."""
        return self.batch * len(self.seconds) / sum(self.seconds)

    def milliseconds(self, share: float) -> float:
        """The quantile of a call's time."""
        return 1000 * float(np.quantile(self.seconds, share))


def step_times(
    runtimes: dict[str, Runtime], batch: int, calls: int, on_progress: ProgressCallback = no_progress
) -> dict[str, Times]:
    """Time a session's step, which is all that play needs but the window, for several runtimes taking turns in one run.

    Args:
        calls: of each runtime, after three that don't count.
    """
    players = {}
    for name, runtime in runtimes.items():
        session = Session(runtime)
        assert runtime.starts is not None
        players[name] = (session, session.start([row % len(runtime.starts) for row in range(batch)], range(batch)))
    seconds: dict[str, list[float]] = {name: [] for name in runtimes}
    for call in range(-3, calls):
        for name, (session, state) in players.items():
            actions = np.full(batch, (call + 3) % len(session.spec.actions))
            begun = time.perf_counter()
            state, _ = session.step(state, actions)
            if call >= 0:
                seconds[name].append(time.perf_counter() - begun)
            players[name] = (session, state)
        on_progress(1)
    return {name: Times(batch, taken) for name, taken in seconds.items()}


def decoder_times(runtime: Runtime, batch: int, calls: int) -> Times:
    """Time the decoder alone, latents `[B, 1, C, h, w]` to frames."""
    latents = np.random.default_rng(0).standard_normal((batch, 1, *runtime.sizes.latents), np.float32)
    return Times(batch, _timed(lambda: runtime.decode(latents), calls))


def start_up(bundle: Bundle, processes: int = 3) -> list[float]:
    """Seconds from the start of a fresh process to its first generated frame, once for each of several.

    Raises:
        WorldsimError: if the process fails.
    """
    package = Path(worldsim.__file__).parents[1]
    # isolated: the folder it is run in may be a bundle's, and nothing that lies there may be imported
    command = [sys.executable, "-I", "-c", START_UP, str(bundle.path.resolve()), str(package)]
    seconds = []
    for _ in range(processes):
        begun = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds.append(time.perf_counter() - begun)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise WorldsimError(f"{bundle.path} does not start in a fresh process: {reason}")
    return seconds


def matmul_peak(size: int = 1536, calls: int = 8) -> float:
    """Floating point operations a second of numpy's float32 matrix product, the best of several."""
    matrix = np.random.default_rng(0).standard_normal((size, size), np.float32)
    return 2 * size**3 / min(_timed(lambda: matrix @ matrix, calls))


def operations(bundle: Bundle) -> int:
    """Floating point operations of one generated frame: matrix products and convolutions, as torch counts them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from worldsim.models.step import example_inputs
    from worldsim.runtime.torch import world_step

    step = world_step(bundle)
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        step(*example_inputs(step, 1, torch.Generator().manual_seed(0)))
    return counter.get_total_flops()


def speed(
    bundle: Bundle,
    steps: dict[int, dict[str, Times]],
    decoder: dict[int, Times],
    starts: list[float],
    peak: float,
    real_fps: float | None,
) -> Section:
    """The section of what was timed.

    Args:
        steps: batch -> runtime name -> times; one of the runtimes is "onnx", and at most at one batch one is "batch".
        decoder: batch -> times of the decoder alone.
        starts: seconds to the first frame. peak: operations a second.
        real_fps: frames a second of the real world, headless, on one core; None if it was not measured.
    """
    section = Section(
        "bench",
        "Speed",
        "A session's step, decoder included, from a held-out start; runtimes take turns in one run. Peak: numpy's "
        "float32 matrix product on the same cores.",
    )
    rows: list[tuple[Any, ...]] = []
    for batch, by_runtime in steps.items():
        section.figures.extend(_step_figures(batch, by_runtime, steps[min(steps)]["onnx"], bundle.spec.fps))
        rows.extend(_row(name, times) for name, times in by_runtime.items())
    for batch, times in decoder.items():
        key, label = f"bench.decoder_ms_batch_{batch}", f"decoder alone, batch {batch}"
        section.figures.append(Figure(key, label, times.milliseconds(0.5), "ms", n=len(times.seconds)))
        rows.append(_row("onnx, decoder alone", times))
    section.tables.append(Table("Speed", ("runtime", "batch", "frames/s", "p50, ms", "p95, ms"), rows))
    section.figures.extend(_machine_figures(bundle, steps, starts, peak))
    if real_fps is None:
        section.notes.append("The real world is not installed or not one of worldsim's own: not measured.")
    else:
        section.figures.append(Figure("bench.real_fps", "the real world, headless, frames a second", real_fps))
    lines = {
        name: (np.array(list(steps)), np.array([by_runtime[name].fps for by_runtime in steps.values()]))
        for name in steps[min(steps)]
    }
    section.curves.append(Curves("Frames a second, all rows together", "batch", "frames/s", lines, log_x=True))
    return section


def _step_figures(batch: int, by_runtime: dict[str, Times], alone: Times, fps: float) -> list[Figure]:
    """Of one batch size; `alone` are the times of one world in ONNX."""
    onnx = by_runtime["onnx"]
    calls, label = len(onnx.seconds), f"generated frames a second at batch {batch}"
    reference = f"the world's own speed is {fps:g}"
    p50, p95 = onnx.milliseconds(0.5), onnx.milliseconds(0.95)
    figures = [
        Figure(f"bench.fps_batch_{batch}", label, onnx.fps, "", None, reference, calls),
        Figure(f"bench.p50_ms_batch_{batch}", f"median latency at batch {batch}", p50, "ms", n=calls),
        Figure(f"bench.p95_ms_batch_{batch}", f"p95 latency at batch {batch}", p95, "ms", n=calls),
    ]
    for name, times in by_runtime.items():
        if name == "batch":
            label = f"speed-up of {batch} rows in one step of the batch runtime over as many worlds in turn"
            reference = f"{times.fps:.0f} frames a second against {alone.fps:.0f}"
            figures.append(Figure("bench.rows", label, times.fps / alone.fps, "times", None, reference))
        elif name != "onnx":
            ratio = statistics.median(times.seconds) / statistics.median(onnx.seconds)
            key, label = f"bench.over_{name.split()[0]}_batch_{batch}", f"speed-up of onnx over {name} at batch {batch}"
            figures.append(Figure(key, label, ratio, "times"))
    return figures


def _machine_figures(
    bundle: Bundle, steps: dict[int, dict[str, Times]], starts: list[float], peak: float
) -> list[Figure]:
    """Start-up, size, and the share of the machine's peak that one world reaches."""
    frame = operations(bundle)
    size = sum(path.stat().st_size for path in bundle.path.rglob("*") if path.is_file())
    first = min(steps)
    label, seconds = "start-up to the first frame, a fresh process", statistics.median(starts)
    return [
        Figure("bench.start_up_s", label, seconds, "s", n=len(starts)),
        Figure("bench.size_mb", "size of the world on disk", size / 1e6, "MB"),
        Figure("bench.gflop", "operations of one frame", frame / 1e9, "GFLOP"),
        Figure("bench.peak", "the machine's matrix product", peak / 1e9, "GFLOP/s"),
        Figure("bench.of_peak", f"share of it reached at batch {first}", steps[first]["onnx"].fps * frame / peak, "%"),
    ]


def _row(name: str, times: Times) -> tuple[str, int, float, float, float]:
    return name, times.batch, times.fps, times.milliseconds(0.5), times.milliseconds(0.95)


def _timed(call: Callable[[], object], calls: int) -> list[float]:
    """Seconds of each call, after one that doesn't count."""
    call()
    seconds = []
    for _ in range(calls):
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return seconds
