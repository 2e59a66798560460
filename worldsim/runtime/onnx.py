"""OnnxRuntime: the exported graphs in ONNX Runtime, on the CPU or a CUDA GPU. Imports no torch."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime

from worldsim.cpu import usable_cores
from worldsim.errors import WorldsimError
from worldsim.models.history import History
from worldsim.runtime.base import Device, StepOutput
from worldsim.runtime.bundle import Bundle, Sizes, Starts
from worldsim.runtime.quantize import quantized
from worldsim.safe_read import FOREIGN
from worldsim.spec import WorldSpec

MOST_THREADS = 4  # a step is small: more threads wait for each other


class OnnxRuntime:
    """The exported graphs in ONNX Runtime; attributes and methods are those of `Runtime`.

    All graphs are read at once, so that what plays is one world, also if its folder is replaced; each is loaded when it
    is first needed, and handed the weights of the one weights file.

    Args:
        bundle: the world.
        device: "auto", "cpu" or "cuda".
        threads: of one step; 0 for one a core, at most `MOST_THREADS`.
        int8: make the step's products in 8 bits, see `worldsim.runtime.quantize`: faster, not the same numbers, and the
            rows of a batch share their scales. On the CPU alone.

    Raises:
        WorldsimError: if the device is not there, or a graph does not load.
    """

    def __init__(self, bundle: Bundle, device: Device = "auto", threads: int = 0, int8: bool = False):
        if int8 and device == "cuda":
            raise WorldsimError("8-bit products run on the CPU alone. Give --device cpu, or --runtime onnx.")
        self.spec, self.digest = bundle.spec, bundle.digest
        self.starts: Starts | None = bundle.starts
        self.sizes = bundle.sizes
        self.threads = threads or min(MOST_THREADS, usable_cores())
        self._path, self._providers = bundle.path, providers("cpu" if int8 else device)
        self._graphs = {name: (bundle.graph(name), used) for name, used in bundle.graph_weights.items()}
        self._outputs = _outputs(self.spec, self.sizes)
        weights = bundle.weights()
        if int8:
            data, used = self._graphs["step"]
            try:
                data, handed = quantized(data, {name: weights[name] for name in used})
            except FOREIGN as error:
                raise self._fails("step", "load", error) from error
            self._graphs["step"], weights = (data, list(handed)), {**weights, **handed}
        self._weights = {name: onnxruntime.OrtValue.ortvalue_from_numpy(w) for name, w in weights.items()}
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        self._inputs: dict[str, list[str]] = {}  # names, in order; asking a session for them takes a while
        self._load("step")

    @property
    def device(self) -> str:
        """Where the step runs: "cpu" or "cuda"."""
        return "cuda" if self._sessions["step"].get_providers()[0].startswith("CUDA") else "cpu"

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """Frames -> latents, see `Runtime`."""
        (latents,) = self._run("encoder", frames.reshape(-1, *frames.shape[2:]))
        return latents.reshape(*frames.shape[:2], *self.sizes.latents)

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """Latents -> frames, see `Runtime`."""
        (frames,) = self._run("decoder", latents.reshape(-1, *latents.shape[2:]))
        return frames.reshape(*latents.shape[:2], *frames.shape[1:])

    def prefill(self, latents: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Known frames -> cache entries, see `Runtime`."""
        return self._run("prefill", latents, actions)[0]

    def remember(self, before: np.ndarray, after: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, ...]:
        """Memory entries of known frames, see `Runtime`."""
        return tuple(self._run("remember", before, after, actions))

    def step(self, history: History, latents: np.ndarray, actions: np.ndarray, noise: np.ndarray) -> StepOutput:
        """The next frame, see `Runtime`."""
        known = (array for array in history if array is not None)
        return StepOutput(*self._run("step", latents, actions, noise, *known))

    def _run(self, graph: str, *inputs: np.ndarray) -> list[Any]:
        if graph not in self._sessions:
            self._load(graph)
        session = self._sessions[graph]
        try:
            outputs: list[Any] = session.run(None, dict(zip(self._inputs[graph], inputs, strict=True)))
        except Exception as error:  # ONNX Runtime's own errors share no base class but this
            raise self._fails(graph, "run", error) from error
        axes, kinds = self._outputs[graph]
        expected = [(dtype, (*inputs[0].shape[:axes], *shape)) for dtype, shape in kinds]
        if [(output.dtype, output.shape) for output in outputs] != expected:
            raise self._fails(graph, "run", "its outputs are not those of this world")
        return outputs

    def _load(self, graph: str) -> None:
        data, names = self._graphs[graph]
        try:
            session = load_graph(data, {name: self._weights[name] for name in names}, self.threads, self._providers)
        except Exception as error:
            raise self._fails(graph, "load", error) from error
        if self._providers[0].startswith("CUDA") and not session.get_providers()[0].startswith("CUDA"):
            raise WorldsimError(
                "ONNX Runtime finds no CUDA libraries for the GPU. Install CUDA 12 and cuDNN 9, or give --device cpu."
            )
        self._sessions[graph], self._inputs[graph] = session, [given.name for given in session.get_inputs()]

    def _fails(self, graph: str, verb: str, error: object) -> WorldsimError:
        reason = " ".join(str(error).split())[:300]
        return WorldsimError(
            f"ONNX Runtime {onnxruntime.__version__} does not {verb} {self._path / graph}.onnx ({reason}). "
            "Export the world again, or pip install -U onnxruntime."
        )


def _outputs(spec: WorldSpec, sizes: Sizes) -> dict[str, tuple[int, list[tuple[np.dtype[Any], tuple[int, ...]]]]]:
    """For each graph how many axes all arrays begin with, B or B and T, and type and further shape of each output."""
    single, half = np.dtype(np.float32), np.dtype(np.float16)
    frame, latents, entry = (
        (np.dtype(np.uint8), (spec.height, spec.width, 3)),
        (single, sizes.latents),
        (half, sizes.entry),
    )
    number: tuple[np.dtype[Any], tuple[int, ...]] = (single, ())
    left: list[tuple[np.dtype[Any], tuple[int, ...]]] = []
    if sizes.memory:
        left = [(half, sizes.memory), *([(single, (sizes.pose,))] if sizes.pose else [])]
    return {
        "encoder": (1, [latents]),
        "decoder": (1, [frame]),
        "prefill": (2, [entry]),
        "remember": (2, left),
        "step": (1, [latents, frame, number, number, number, entry, *left]),
    }


def load_graph(
    data: bytes, weights: Mapping[str, onnxruntime.OrtValue], threads: int, providers: Sequence[str]
) -> onnxruntime.InferenceSession:
    """A checked graph, handed its weights by name and ready to run; the caller explains ONNX Runtime's errors."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors only
    # Threads that wait by spinning take the cores from whoever else plays: a step cost 40% more CPU with it, beside
    # other work also more time.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_external_initializers(list(weights), list(weights.values()))
    return onnxruntime.InferenceSession(data, options, providers=providers)


def providers(device: Device) -> Sequence[str]:
    """What ONNX Runtime calls the device.

    Raises:
        WorldsimError: if it is not there.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise WorldsimError(f"no device {device!r}; there are auto, cpu and cuda")
    # onnxruntime-gpu lists CUDA even on machines without a GPU, and then warns: ask the driver.
    usable = device != "cpu" and "CUDAExecutionProvider" in onnxruntime.get_available_providers() and gpu_count() > 0
    if device == "cuda" and not usable:
        raise WorldsimError("no CUDA GPU here, or no onnxruntime-gpu for it. Give --device cpu, or auto.")
    return ["CUDAExecutionProvider", "CPUExecutionProvider"] if usable else ["CPUExecutionProvider"]


def gpu_count() -> int:
    """How many CUDA devices the driver sees; 0 without a driver."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value
