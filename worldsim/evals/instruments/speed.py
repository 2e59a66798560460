"""Speed: how many frames a second a world generates, and what part of the machine that takes. Knows no real world.

B batch, C x h x w latents, H x W pixels
"""

from __future__ import annotations

import dataclasses
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from worldsim.errors import WorldsimError
from worldsim.evals.core import Tick, silent
from worldsim.evals.section import Curves, Figure, Section, Table
from worldsim.runtime.base import Runtime
from worldsim.runtime.bundle import Bundle
from worldsim.runtime.session import Session

BATCHES = (1, 4, 16)
START_UP = """
import sys
from worldsim.runtime.bundle import open_world
from worldsim.runtime.base import load_runtime
from worldsim.runtime.session import Session
session = Session(load_runtime(open_world(sys.argv[1])))
session.step(session.start([0], [0]), __import__("numpy").array([session.spec.noop]))
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


def step_times(runtimes: dict[str, Runtime], batch: int, calls: int, tick: Tick = silent) -> dict[str, Times]:
    """Time a session's step, and so all that play needs but the window, for several runtimes taking turns in one run.

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
        tick(1)
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
    seconds = []
    for _ in range(processes):
        begun = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", START_UP, str(bundle.path)], capture_output=True, text=True, check=False
        )
        seconds.append(time.perf_counter() - begun)
        if done.returncode:
            raise WorldsimError(
                f"{bundle.path} does not start in a fresh process: {done.stderr.strip().splitlines()[-1:]}"
            )
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
        real_fps: frames a second of the real world, headless, on one core; None if it is not installed.
    """
    operations_a_frame = operations(bundle)
    size = sum(path.stat().st_size for path in bundle.path.rglob("*") if path.is_file())
    section = Section(
        "bench",
        "Speed",
        "A session's step, decoder and all, from a held-out start; runtimes take turns in one run. Peak: numpy's "
        "float32 matrix product on "
        "the same cores.",
    )
    rows, lines = [], {}
    for batch, by_runtime in steps.items():
        for name, times in by_runtime.items():
            rows.append((name, batch, times.fps, times.milliseconds(0.5), times.milliseconds(0.95)))
        onnx = by_runtime["onnx"]
        reference = f"the world's own speed is {bundle.spec.fps:g}"
        section.figures.extend(
            [
                Figure(
                    f"bench.fps_batch_{batch}",
                    f"generated frames a second at batch {batch}",
                    onnx.fps,
                    "",
                    None,
                    reference,
                ),
                Figure(f"bench.p50_ms_batch_{batch}", f"median latency at batch {batch}", onnx.milliseconds(0.5), "ms"),
                Figure(f"bench.p95_ms_batch_{batch}", f"p95 latency at batch {batch}", onnx.milliseconds(0.95), "ms"),
            ]
        )
        for name, times in by_runtime.items():
            if name == "batch":
                alone = steps[min(steps)]["onnx"]
                label = f"{batch} rows in one step of the batch runtime, over as many worlds in turn"
                reference = f"{times.fps:.0f} frames a second beside {alone.fps:.0f}"
                figure = Figure("bench.rows", label, times.fps / alone.fps, "times", None, reference)
                section.figures.append(figure)
            elif name != "onnx":
                ratio = statistics.median(times.seconds) / statistics.median(onnx.seconds)
                label = f"onnx is faster than {name} at batch {batch} by"
                section.figures.append(Figure(f"bench.over_{name.split()[0]}_batch_{batch}", label, ratio, "times"))
    for batch, times in decoder.items():
        rows.append(("onnx, decoder alone", batch, times.fps, times.milliseconds(0.5), times.milliseconds(0.95)))
        section.figures.append(
            Figure(f"bench.decoder_ms_batch_{batch}", f"decoder alone, batch {batch}", times.milliseconds(0.5), "ms")
        )
    names = ("runtime", "batch", "frames/s", "p50, ms", "p95, ms")
    section.tables.append(Table("Speed", names, rows))
    first = min(steps)
    rate = steps[first]["onnx"].fps * operations_a_frame
    section.figures.extend(
        [
            Figure("bench.start_up_s", "start-up to the first frame, a fresh process", statistics.median(starts), "s"),
            Figure("bench.size_mb", "size of the world on disk", size / 1e6, "MB"),
            Figure("bench.gflop", "operations of one frame", operations_a_frame / 1e9, "GFLOP"),
            Figure("bench.peak", "the machine's matrix product", peak / 1e9, "GFLOP/s"),
            Figure("bench.of_peak", f"share of it reached at batch {first}", rate / peak, "%"),
        ]
    )
    if real_fps is None:
        section.notes.append("The real world is not installed here: its speed was not measured.")
    else:
        section.figures.append(Figure("bench.real_fps", "the real world, headless, frames a second", real_fps))
    for name in steps[first]:
        lines[name] = (np.array(list(steps)), np.array([by_runtime[name].fps for by_runtime in steps.values()]))
    section.curves.append(Curves("Frames a second, all rows together", "batch", "frames/s", lines, log_x=True))
    return section


def _timed(call: Callable[[], object], calls: int) -> list[float]:
    """Seconds of each call, after one that doesn't count."""
    call()
    seconds = []
    for _ in range(calls):
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return seconds
