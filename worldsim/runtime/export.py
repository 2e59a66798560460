"""Export: trained modules -> a bundle of ONNX graphs and weights, checked against torch. Knows no training.

The graphs carry no weights: those are in the bundle once, in float16, and ONNX Runtime is handed them by name. So every
graph has the same float32 weights as the torch runtime, rounded to float16 and back.

B batch, T frames, W window, n starts, C x h x w latents, H x W pixels.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import logging
import statistics
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import Autoencoder
from worldsim.models.history import History
from worldsim.models.sampling import Sampling
from worldsim.models.step import Decode, Encode, Prefill, Remember, WorldStep, example_inputs
from worldsim.models.world_model import WorldModel
from worldsim.progress import ProgressBar
from worldsim.runtime.bundle import BUNDLE, Bundle, Starts, write_bundle
from worldsim.runtime.onnx import OnnxRuntime
from worldsim.runtime.onnx_sum import translations
from worldsim.runtime.torch import TorchRuntime, sizes_of
from worldsim.spec import WorldSpec

OPSET = 23  # the first that has RMSNormalization as an operator
# Largest difference allowed between ONNX Runtime and torch: of float32 numbers of the order of 1, of float16 cache
# entries (one rounding at 4), and of pixels in levels of 255.
TOLERANCE = {"latents": 1e-3, "outcome": 1e-3, "entries": 4e-3, "memory": 4e-3, "pose": 1e-3, "frames": 1.0}


@dataclasses.dataclass(frozen=True)
class Parity:
    """How far ONNX Runtime is from torch, and how much faster.

    Attributes:
        differences: largest absolute difference by output, such as `"step: latents"`.
        decoder_speedup, step_speedup: median time of torch eager divided by ONNX Runtime's; batch 1, same threads.
        bytes: of the whole bundle.
    """

    differences: dict[str, float]
    decoder_speedup: float
    step_speedup: float
    bytes: int

    def __str__(self) -> str:
        """A few lines for people."""
        title = "largest difference, ONNX Runtime against torch"
        lines = [
            f"  {name:22}{difference:10.2g}   (at most {TOLERANCE[name.split(': ')[1]]:g})"
            for name, difference in self.differences.items()
        ]
        speed = "torch eager takes so many times as long as ONNX Runtime, one frame at a time on the same cores: "
        speed += f"decoder {self.decoder_speedup:.1f}, whole step {self.step_speedup:.1f}"
        return "\n".join([title, *lines, speed, f"{self.bytes / 1e6:.1f} MB"])


def export_bundle(
    out: str | Path,
    autoencoder: Autoencoder,
    world_model: WorldModel,
    spec: WorldSpec,
    frames: np.ndarray,
    actions: np.ndarray,
    origin: Mapping[str, Any],
    sampling: Sampling | None = None,
) -> Parity:
    """Write a playable world, whole or not at all.

    Args:
        out: the bundle's folder; an older bundle there is replaced.
        autoencoder, world_model: trained; not changed.
        spec: the world they learned.
        frames: uint8 `[n, T, H, W, 3]`, where play can begin; T as `worldsim.models.retention.context` has it.
        actions: int64 `[n, T-1]`, those taken between them.
        origin: {"source", "licence", ...} of what was learned from.
        sampling: how frames are sampled.

    Returns:
        what was measured on the graphs that were written.

    Raises:
        WorldsimError: if the networks are not of this world, a graph differs from torch, or `out` can't be written or
            is being written by another process.
    """
    weights = stored_weights(WorldStep(autoencoder, world_model))
    step = WorldStep(copy.deepcopy(autoencoder), copy.deepcopy(world_model), sampling).eval()
    step.load_state_dict({name: torch.from_numpy(w).float() for name, w in weights.items()})
    step.requires_grad_(False)
    runtime = TorchRuntime(step, spec)
    starts = Starts(frames, actions.astype(np.int64), runtime.encode(frames).astype(np.float16))
    config = world_model.config
    with BUNDLE.staging(out) as folder:
        write_bundle(
            folder,
            spec=spec,
            configs={
                "autoencoder": dataclasses.asdict(autoencoder.config),
                "world_model": dataclasses.asdict(config),
                **dataclasses.asdict(step.sampling),
            },
            sizes=sizes_of(step),
            origin=origin,
            weights=weights,
            graphs=export_graphs(step, spec),
            starts=starts,
        )
        bundle = Bundle(folder)
        parity = measure_parity(runtime, OnnxRuntime(bundle, "cpu"), step, folder)
        too_far = {k: v for k, v in parity.differences.items() if not v <= TOLERANCE[k.split(": ")[1]]}
        if too_far:
            raise WorldsimError(
                f"the exported graphs differ from torch ({too_far}); nothing written. Update torch and onnxruntime."
            )
    return parity


def stored_weights(step: nn.Module) -> dict[str, np.ndarray]:
    """All weights as a bundle stores them: float16, but statistics of latents in float32."""
    stored = {}
    for name, weight in step.state_dict().items():
        exact = not weight.is_floating_point() or ".running_" in name
        stored[name] = (weight if exact else weight.half()).cpu().contiguous().numpy()
        if not np.isfinite(stored[name]).all():
            raise WorldsimError(f"weight {name} does not fit into float16: the training went wrong")
    return stored


def export_graphs(step: WorldStep, spec: WorldSpec) -> dict[str, tuple[bytes, list[str]]]:
    """ONNX bytes of the graphs, and the names of the weights that each must be handed."""
    generator = torch.Generator().manual_seed(0)
    config = step.world_model.config
    frames = torch.zeros(2, spec.height, spec.width, 3, dtype=torch.uint8)
    latents = torch.randn(2, 3, *config.latent_shape, generator=generator)
    actions = torch.zeros(2, 3, dtype=torch.int64)
    batch, time_ = torch.export.Dim("batch", min=1, max=4096), torch.export.Dim("time", min=1, max=4096)
    one, two = {0: batch}, {0: batch, 1: time_}
    outputs = ["next_latents", "frame", "reward", "cont", "uncertainty", "entry"]
    inputs = ["latents", "actions", "noise", "cache", "length"]
    dynamic: tuple[dict[int, Any], ...] = (one,) * 5
    if config.memory:
        slots = {0: batch, 1: torch.export.Dim("slots", min=1, max=4096)}
        kept = ["memory", "age", "pose"] if config.view else ["memory", "age"]
        left = ["next_memory", "next_pose"] if config.view else ["next_memory"]
        inputs, outputs, dynamic = [*inputs, *kept], [*outputs, *left], (*dynamic, *[slots] * len(kept))
    sources = {
        "step": GraphSource(step, example_inputs(step, 2, generator), dynamic, inputs, outputs),
        "prefill": GraphSource(
            Prefill(step.world_model), (latents, actions), (two, two), ["latents", "actions"], ["entries"]
        ),
        "encoder": GraphSource(Encode(step.autoencoder), (frames,), (one,), ["frames"], ["latents"]),
        "decoder": GraphSource(Decode(step.autoencoder), (latents[:, 0],), (one,), ["latents"], ["frames"]),
    }
    if config.memory:
        example = latents, latents.clone(), actions  # the same tensor twice would be one input
        names = ["before", "after", "actions"]
        sources["remember"] = GraphSource(Remember(step.world_model), example, (two,) * 3, names, left)
    graphs = {}
    with ProgressBar("exporting graphs", len(sources)) as progress:
        for i, (name, source) in enumerate(sources.items()):
            progress.update(i, name)
            graphs[name] = export_graph(source, step.state_dict().keys())
        progress.update(len(sources))
    return graphs


@dataclasses.dataclass(frozen=True)
class GraphSource:
    """What a graph is made of: a module, inputs to trace it with, which of their axes vary, and names."""

    module: nn.Module
    example: tuple[Tensor, ...]
    dynamic: tuple[dict[int, Any], ...]
    inputs: list[str]
    outputs: list[str]


def export_graph(source: GraphSource, known: Collection[str]) -> tuple[bytes, list[str]]:
    """ONNX bytes without the weights that are `known`, and the names of those that it uses."""
    import onnx_ir
    import onnxscript.optimizer

    with _quiet(), torch.no_grad():
        program = torch.export.export(source.module.eval(), source.example, dynamic_shapes=source.dynamic, strict=False)
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            custom_translation_table=translations(),
            optimize=False,
            verbose=False,
            input_names=source.inputs,
            output_names=source.outputs,
        )
    assert exported is not None
    model = exported.model
    graph = model.graph
    # While the graph is optimised its weights are inputs, so that none is folded, merged or renamed; afterwards they
    # are initializers in a file that the graph's reader never opens, because it is handed them.
    weights = {name: graph.initializers.pop(name) for name in list(graph.initializers) if name in known}
    stand_ins = {}
    for name, value in weights.items():
        tensor = value.const_value
        stand_ins[name] = onnx_ir.ExternalTensor(
            "model.safetensors", 0, tensor.nbytes, tensor.dtype, shape=tensor.shape, name=name
        )
        value.const_value = None
        graph.inputs.append(value)
    with _quiet():
        onnxscript.optimizer.optimize(model)
    used = []
    for value in list(graph.inputs)[len(source.inputs) :]:
        graph.inputs.remove(value)
        if value.uses():
            value.const_value = stand_ins[value.name]
            graph.initializers[value.name] = value
            used.append(value.name)
    for holder in (model, graph, *graph, *(output for node in graph for output in node.outputs)):
        holder.metadata_props.clear()  # stack traces of this machine, three quarters of the file
    data = onnx_ir.to_proto(model).SerializeToString()
    large = [n for n, v in graph.initializers.items() if n not in known and v.const_value.nbytes > 1 << 18]
    assert not large, f"constants left in the graph: {large}"
    return data, used


def measure_parity(reference: TorchRuntime, onnx: OnnxRuntime, step: WorldStep, folder: Path) -> Parity:
    """Run both on the same inputs, drawn from a fixed seed."""
    generator = torch.Generator().manual_seed(1)
    example = tuple(tensor.numpy() for tensor in example_inputs(step, 3, generator))
    frame, history = example[:3], History(*example[3:])
    latents = torch.randn(2, onnx.sizes.window + 2, *onnx.sizes.latents, generator=generator).numpy()
    differences = _differences(reference, onnx, frame, history, latents, generator)
    decoder, whole = _speedups(reference, onnx, frame, history, latents)
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Parity(differences, decoder, whole, total)


def _differences(
    reference: TorchRuntime,
    onnx: OnnxRuntime,
    frame: tuple[np.ndarray, ...],
    history: History,
    latents: np.ndarray,
    generator: torch.Generator,
) -> dict[str, float]:
    actions = torch.randint(0, len(onnx.spec.actions), latents.shape[:2], generator=generator).numpy()
    size = 2, 2, onnx.spec.height, onnx.spec.width, 3
    frames = torch.randint(0, 256, size, generator=generator, dtype=torch.uint8).numpy()
    a, b = reference.step(history, *frame), onnx.step(history, *frame)
    differences = {
        "step: entries": _difference(a.entry, b.entry),
        "step: latents": _difference(a.latents, b.latents),
        "step: frames": _difference(a.frame, b.frame),
        "step: outcome": max(
            _difference(getattr(a, name), getattr(b, name)) for name in ("reward", "cont", "uncertainty")
        ),
        "prefill: entries": _difference(reference.prefill(latents, actions), onnx.prefill(latents, actions)),
        "encoder: latents": _difference(reference.encode(frames), onnx.encode(frames)),
        "decoder: frames": _difference(reference.decode(latents), onnx.decode(latents)),
    }
    if a.memory is not None and b.memory is not None:
        differences["step: memory"] = _difference(a.memory, b.memory)
        known = latents, latents[:, ::-1].copy(), actions
        pairs = list(zip(reference.remember(*known), onnx.remember(*known), strict=True))
        differences["remember: memory"] = _difference(*pairs[0])
        if a.pose is not None and b.pose is not None:
            differences["step: pose"] = max(_difference(a.pose, b.pose), _difference(*pairs[1]))
    return differences


def _speedups(
    reference: TorchRuntime, onnx: OnnxRuntime, frame: tuple[np.ndarray, ...], history: History, latents: np.ndarray
) -> tuple[float, float]:
    """Of the decoder and of a step, batch 1."""
    single, one = tuple(array[:1] for array in frame), latents[:1, :1]
    past = History(*(None if array is None else array[:1] for array in history))
    threads = torch.get_num_threads()
    torch.set_num_threads(onnx.threads)
    try:
        decoder = _ratio(lambda: reference.decode(one), lambda: onnx.decode(one))
        return decoder, _ratio(lambda: reference.step(past, *single), lambda: onnx.step(past, *single))
    finally:
        torch.set_num_threads(threads)


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    """The largest one; of numbers in half precision that are above 1, relative to them: they have 11 bits."""
    assert a.shape == b.shape and a.dtype == b.dtype, (a.shape, b.shape, a.dtype, b.dtype)
    apart = np.abs(a.astype(np.float64) - b.astype(np.float64))
    if a.dtype == np.float16:
        apart /= np.maximum(1, np.abs(a.astype(np.float64)))
    return float(apart.max())


def _ratio(slow: Callable[[], Any], fast: Callable[[], Any], repeats: int = 15) -> float:
    """Median times in turn, after a warm-up: `slow / fast`."""
    times: dict[Callable[[], Any], list[float]] = {slow: [], fast: []}
    for i in range(repeats + 3):
        for call, taken in times.items():
            began = time.perf_counter()
            call()
            if i >= 3:
                taken.append(time.perf_counter() - began)
    return statistics.median(times[slow]) / statistics.median(times[fast])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's own warnings and log lines, of which none is for the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
