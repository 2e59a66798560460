"""Speed: frames a second of a world, and the share of the machine's peak it reaches. Knows no real world.

B batch, C x h x w latents, H x W pixels
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import worldsim
from worldsim.errors import WorldsimError
from worldsim.evals.core import ProgressCallback, no_progress
from worldsim.evals.section import Curves, Figure, Section, Table
from worldsim.models.retention import capacity
from worldsim.runtime.base import Runtime, StepOutput
from worldsim.runtime.bundle import Bundle
from worldsim.runtime.session import Session

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[2])
import numpy as np
from worldsim.runtime.bundle import open_world
from worldsim.runtime.load import load_runtime
from worldsim.runtime.session import Session
session = Session(load_runtime(open_world(sys.argv[1])))
batch = int(sys.argv[3])
starts = [row % len(session.runtime.starts) for row in range(batch)]
session.step(session.start(starts, range(batch)), np.full(batch, session.spec.noop))
try:
    import resource
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
except ImportError:
    print("nan")
"""
SHAPES = ("input_type_shape", "output_type_shape")  # of a node in ONNX Runtime's profile
COLUMNS = ("runtime", "batch", "frames/s", "p50, ms", "p95, ms", "p99, ms", "GFLOP/s", "of float32 peak")


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


def decoder_times(runtimes: dict[str, Runtime], batch: int, calls: int) -> dict[str, Times]:
    """Time the decoder alone, latents `[B, 1, C, h, w]` to frames, of several runtimes in turns."""
    runtime = next(iter(runtimes.values()))
    latents = np.random.default_rng(0).standard_normal((batch, 1, *runtime.sizes.latents), np.float32)
    seconds: dict[str, list[float]] = {name: [] for name in runtimes}
    for _ in range(4):
        for name, each in runtimes.items():
            seconds[name] += _timed(functools.partial(each.decode, latents), -(-calls // 4))
    return {name: Times(batch, taken) for name, taken in seconds.items()}


@dataclasses.dataclass(frozen=True)
class Play:
    """What a session costs beside its networks.

    Attributes:
        overhead: share of a step's time that is not the runtime's, median.
        branch: seconds of a step from a state kept before, with another action, divided by those of a step ahead.
        snapshot, restore: seconds of each, a state as bytes and back.
        kept: bytes that a kept state adds to the one before it: the cost of a frame that can be rewound to.
    """

    overhead: float
    branch: float
    snapshot: float
    restore: float
    kept: int


class _Clocked:
    """A runtime that keeps how long its steps took, in `seconds`."""

    def __init__(self, runtime: Runtime):
        self._runtime, self.seconds = runtime, list[float]()

    def step(self, *inputs: Any) -> StepOutput:
        """As the runtime's."""
        begun = time.perf_counter()
        output = self._runtime.step(*inputs)
        self.seconds.append(time.perf_counter() - begun)
        return output

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)


def play_costs(runtime: Runtime, calls: int) -> Play:
    """What keeping, branching and saving states costs, at batch 1."""
    clocked = _Clocked(runtime)
    session, outside, whole, again = Session(clocked), list[float](), list[float](), list[float]()
    state = session.start([0], [0])
    for call in range(-3, calls):
        actions = np.full(1, (call + 3) % len(session.spec.actions))
        begun = time.perf_counter()
        following, _ = session.step(state, actions)
        ahead = time.perf_counter() - begun
        inside = clocked.seconds[-1]
        begun = time.perf_counter()
        session.step(state, (actions + 1) % len(session.spec.actions))
        branched = time.perf_counter() - begun
        if call >= 0:
            outside.append(1 - inside / ahead)
            whole.append(ahead)
            again.append(branched)
        state, before = following, state
    median = statistics.median
    saved = session.snapshot(state)
    shared = {id(array) for array in (*before.entries, *before.memory, *before.poses)}
    new = [array for array in (*state.entries, *state.memory, *state.poses) if id(array) not in shared]
    return Play(
        median(outside),
        median(again) / median(whole),
        median(_timed(lambda: session.snapshot(state), calls)),
        median(_timed(lambda: session.restore(saved), calls)),
        sum(array.nbytes for array in (*new, state.latents, state.frame, state.remembered)),
    )


def context_times(runtime: Runtime, calls: int) -> dict[int, Times]:
    """Time the step alone by how many frames it knows: memory entries where there is a memory, else those in the
    window. Frames known -> times."""
    sizes, session = runtime.sizes, Session(runtime)
    state = session.start([0], [0])
    history = session.history(state)
    noise, actions = np.zeros((1, *runtime.sizes.noise), np.float32), np.zeros(1, np.int64)
    most = capacity(sizes.retention) if sizes.memory else sizes.window
    times = {}
    for known in sorted({max(1, most * quarter // 4) for quarter in range(5)}):
        if sizes.memory:
            age = np.arange(known, 0, -1)[None]
            pose = np.zeros((1, known, sizes.pose), np.float32) if sizes.pose else None
            past = history._replace(memory=np.zeros((1, known, *sizes.memory), np.float16), age=age, pose=pose)
        else:
            past = history._replace(length=np.full(1, known))
        seconds = _timed(functools.partial(runtime.step, past, state.latents, actions, noise), calls)
        times[known] = Times(1, seconds)
    return times


def start_up(bundle: Bundle, processes: int = 3, batch: int = 1) -> tuple[list[float], float]:
    """Seconds from the start of a fresh process to its first generated frame, once for each of several; and the most
    memory that one of them held, in bytes, NaN where the system does not say.

    Raises:
        WorldsimError: if the process fails.
    """
    package = Path(worldsim.__file__).parents[1]
    # isolated: the folder it is run in may be a bundle's, and nothing that lies there may be imported
    command = [sys.executable, "-I", "-c", PROGRAM, str(bundle.path.resolve()), str(package), str(batch)]
    seconds, memory = [], math.nan
    for _ in range(processes):
        begun = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds.append(time.perf_counter() - begun)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise WorldsimError(f"{bundle.path} does not start in a fresh process: {reason}")
        memory = float(done.stdout)
    return seconds, memory


def matmul_peak(size: int = 1536, calls: int = 8) -> float:
    """Floating point operations a second of numpy's float32 matrix product, the best of several."""
    matrix = np.random.default_rng(0).standard_normal((size, size), np.float32)
    return 2 * size**3 / min(_timed(lambda: matrix @ matrix, calls))


def operations(bundle: Bundle) -> int:
    """Floating point operations of one generated frame: matrix products and convolutions of the step's graph, with the
    shapes that they have when it runs, memory full."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # the graph as it is written
    options.enable_profiling = True
    names, weights = bundle.graph_weights["step"], bundle.weights()
    handed = [onnxruntime.OrtValue.ortvalue_from_numpy(weights[name]) for name in names]
    options.add_external_initializers(names, handed)
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "step")
        step = onnxruntime.InferenceSession(bundle.graph("step"), options, providers=["CPUExecutionProvider"])
        slots = max(1, capacity(bundle.sizes.retention))
        kinds = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64}
        fed = {}
        for known in step.get_inputs():
            shape = [1, *(size if isinstance(size, int) else slots for size in known.shape[1:])]
            fed[known.name] = np.zeros(shape, kinds[known.type])
        step.run(None, fed)
        events = json.loads(Path(step.end_profiling()).read_text())
    return sum(_node_operations(event["args"]) for event in events if event["name"].endswith("_kernel_time"))


def _node_operations(node: dict[str, Any]) -> int:
    """Of one node that ran, by its shapes in ONNX Runtime's profile; 0 for all but products and convolutions."""
    if node.get("op_name") not in ("MatMul", "Gemm", "Conv"):
        return 0
    inputs, outputs = ([shape for entry in node[side] for shape in entry.values()] for side in SHAPES)
    inner = inputs[0][-1] if node["op_name"] != "Conv" else math.prod(inputs[1][1:])
    return 2 * int(math.prod(outputs[0])) * int(inner)


@dataclasses.dataclass(frozen=True)
class Measured:
    """All that was timed of one world.

    Attributes:
        steps: batch -> runtime name -> times; one of the runtimes is "onnx", and at most at one batch one is "batch".
        decoder: batch -> runtime name -> times of the decoder alone.
        starts: seconds to the first frame. memory: batch -> bytes that a process held at most.
        play: what a session costs. context: frames known -> times of a step.
        operations: of one frame. peak: operations a second of a float32 matrix product.
        real_fps: frames a second of the real world, headless, on one core; None if it was not measured.
    """

    steps: dict[int, dict[str, Times]]
    decoder: dict[int, dict[str, Times]]
    starts: list[float]
    memory: dict[int, float]
    play: Play
    context: dict[int, Times]
    operations: int
    peak: float
    real_fps: float | None

    def rows(self) -> list[tuple[Any, ...]]:
        """Of a table with `COLUMNS`."""
        rows = []
        for batch, by_runtime in self.steps.items():
            for name, times in by_runtime.items():
                rate = times.fps * self.operations
                shown = (times.milliseconds(share) for share in (0.5, 0.95, 0.99))
                rows.append((name, batch, times.fps, *shown, rate / 1e9, f"{rate / self.peak:.1%}"))
        return rows


def speed(bundle: Bundle, measured: Measured) -> Section:
    """The section of what was timed."""
    section = Section(
        "bench",
        "Speed",
        "A session's step, decoder included, from a held-out start; runtimes take turns in one run. Operations: matrix "
        "products and convolutions of the exported graph, memory full. Peak: numpy's float32 matrix product on the "
        "same cores, also for runtimes that compute in 8 or 16 bits.",
    )
    steps = measured.steps
    for batch, by_runtime in steps.items():
        section.figures.extend(_step_figures(batch, by_runtime, steps[min(steps)]["onnx"], bundle.spec.fps))
        share = by_runtime["onnx"].fps * measured.operations / measured.peak
        key = "bench.of_peak" if batch == min(steps) else f"bench.of_peak_batch_{batch}"
        section.figures.append(Figure(key, f"share of the machine's peak reached at batch {batch}", share, "%"))
    section.tables.append(Table("Speed", COLUMNS, measured.rows()))
    section.figures.extend(_decoder_figures(measured.decoder))
    rows = [
        (name, batch, times.fps, times.milliseconds(0.5), times.milliseconds(0.95))
        for batch, by_runtime in measured.decoder.items()
        for name, times in by_runtime.items()
    ]
    section.tables.append(Table("Decoder alone", COLUMNS[:5], rows))
    section.figures.extend(_machine_figures(bundle, measured))
    section.figures.extend(_play_figures(measured.play))
    if measured.real_fps is None:
        section.notes.append("The real world is not installed or not one of worldsim's own: not measured.")
    else:
        section.figures.append(Figure("bench.real_fps", "the real world, headless, frames a second", measured.real_fps))
    lines = {
        name: (np.array(batches), np.array([steps[batch][name].fps for batch in batches]))
        for name in dict.fromkeys(name for by_runtime in steps.values() for name in by_runtime)
        if len(batches := [batch for batch in steps if name in steps[batch]]) > 1
    }
    section.curves.append(Curves("Frames a second, all rows together", "batch", "frames/s", lines, log_x=True))
    known = np.array(list(measured.context))
    medians = np.array([times.milliseconds(0.5) for times in measured.context.values()])
    section.curves.append(
        Curves("Time of a step by what it remembers", "frames known", "ms", {"onnx": (known, medians)})
    )
    return section


def comparison(section: Section, before: dict[str, Figure]) -> Table:
    """Figures measured now beside those of another report, and by how many times they are larger."""
    rows = [
        (figure.label, before[figure.key].text(), figure.text(), f"{figure.value / before[figure.key].value:.2f}")
        for figure in section.figures
        if figure.key in before and before[figure.key].value
    ]
    return Table("Against the other report", ("figure", "then", "now", "times"), rows)


def _step_figures(batch: int, by_runtime: dict[str, Times], alone: Times, fps: float) -> list[Figure]:
    """Of one batch size; `alone` are the times of one world in ONNX."""
    onnx = by_runtime["onnx"]
    calls, label = len(onnx.seconds), f"generated frames a second at batch {batch}"
    reference = f"the world's own speed is {fps:g}"
    p50, p95, p99 = (onnx.milliseconds(share) for share in (0.5, 0.95, 0.99))
    figures = [
        Figure(f"bench.fps_batch_{batch}", label, onnx.fps, "", None, reference, calls),
        Figure(f"bench.p50_ms_batch_{batch}", f"median latency at batch {batch}", p50, "ms", n=calls),
        Figure(f"bench.p95_ms_batch_{batch}", f"p95 latency at batch {batch}", p95, "ms", n=calls),
        Figure(f"bench.p99_ms_batch_{batch}", f"p99 latency at batch {batch}", p99, "ms", n=calls),
    ]
    for name, times in by_runtime.items():
        if name == "batch":
            label = f"speed-up of {batch} rows in one step of the batch runtime over as many worlds in turn"
            reference = f"{times.fps:.0f} frames a second against {alone.fps:.0f}"
            figures.append(Figure("bench.rows", label, times.fps / alone.fps, "times", None, reference))
        elif name == "int8":
            label = f"generated frames a second at batch {batch}, products in 8 bits"
            figures.append(Figure(f"bench.int8_fps_batch_{batch}", label, times.fps, n=calls))
            label = f"p95 latency at batch {batch}, products in 8 bits"
            figures.append(Figure(f"bench.int8_p95_ms_batch_{batch}", label, times.milliseconds(0.95), "ms", n=calls))
        elif name != "onnx":
            ratio = statistics.median(times.seconds) / statistics.median(onnx.seconds)
            key, label = f"bench.over_{name.split()[0]}_batch_{batch}", f"speed-up of onnx over {name} at batch {batch}"
            figures.append(Figure(key, label, ratio, "times"))
    return figures


def _decoder_figures(decoder: dict[int, dict[str, Times]]) -> list[Figure]:
    figures = []
    for batch, by_runtime in decoder.items():
        times = by_runtime["onnx"]
        key, label = f"bench.decoder_ms_batch_{batch}", f"decoder alone, batch {batch}"
        figures.append(Figure(key, label, times.milliseconds(0.5), "ms", n=len(times.seconds)))
        if "torch eager" in by_runtime:
            ratio = by_runtime["torch eager"].milliseconds(0.5) / times.milliseconds(0.5)
            key, label = f"bench.decoder_over_torch_batch_{batch}", f"decoder over torch eager at batch {batch}"
            figures.append(Figure(key, label, ratio, "times"))
    return figures


def _machine_figures(bundle: Bundle, measured: Measured) -> list[Figure]:
    """Start-up, size, memory and the machine's peak."""
    size = sum(path.stat().st_size for path in bundle.path.rglob("*") if path.is_file())
    label, seconds = "start-up to the first frame, a fresh process", statistics.median(measured.starts)
    return [
        Figure("bench.start_up_s", label, seconds, "s", n=len(measured.starts)),
        Figure("bench.size_mb", "size of the world on disk", size / 1e6, "MB"),
        *(
            Figure(f"bench.memory_mb_batch_{batch}", f"memory of a process at batch {batch}", held / 1e6, "MB")
            for batch, held in measured.memory.items()
        ),
        Figure("bench.gflop", "operations of one frame", measured.operations / 1e9, "GFLOP"),
        Figure("bench.peak", "the machine's matrix product", measured.peak / 1e9, "GFLOP/s"),
    ]


def _play_figures(play: Play) -> list[Figure]:
    return [
        Figure("bench.session_share", "share of a frame spent outside the networks", play.overhead, "%"),
        Figure(
            "bench.branch", "a step from a kept state, with another action, over a step ahead", play.branch, "times"
        ),
        Figure("bench.kept_kb", "memory of a frame that can be rewound to", play.kept / 1e3, "kB"),
        Figure("bench.snapshot_ms", "a state as bytes", 1000 * play.snapshot, "ms"),
        Figure("bench.restore_ms", "a state from bytes", 1000 * play.restore, "ms"),
    ]


def _timed(call: Callable[[], object], calls: int) -> list[float]:
    """Seconds of each call, after one that doesn't count."""
    call()
    seconds = []
    for _ in range(calls):
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return seconds
