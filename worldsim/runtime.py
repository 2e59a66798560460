"""Runtimes: what runs a world's networks. Numpy in, numpy out; here the protocol, and ONNX Runtime. Imports no torch.

    runtime = load_runtime(open_world("doom-maze"))          # or kind="torch", the reference
    out = runtime.step(cache, length, latents, actions, noise)

Knows nothing of rollouts: what to keep from step to step is the session's business.

B batch, T frames, W window, L x M x F one frame's cache entry, C x h x w latents, H x W pixels, S frames
in the log, Q x U what each of them left there.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import onnxruntime

from worldsim.bundle import Bundle, Starts
from worldsim.errors import WorldsimError, require
from worldsim.memory import Reach
from worldsim.spec import WorldSpec

Device = Literal["auto", "cpu", "cuda"]
MOST_THREADS = 4  # a step is small: more threads wait for each other


class StepOutput(NamedTuple):
    """What one step gives.

    Attributes:
        entry: float16 `[B, L, M, F]`, cache entry of the frame that was on screen and of the action taken there.
        latents: float32 `[B, C, h, w]` of the new frame.
        frame: uint8 `[B, H, W, 3]`, the new frame.
        reward: float32 `[B]`, expected.
        cont: float32 `[B]`, probability that play goes on.
        uncertainty: float32 `[B]`, how far the sampler's passes are apart, in standard deviations of a latent.
        left: float16 `[B, Q, U]`, what the frame that was on screen leaves in the log; None without memory.
    """

    entry: np.ndarray
    latents: np.ndarray
    frame: np.ndarray
    reward: np.ndarray
    cont: np.ndarray
    uncertainty: np.ndarray
    left: np.ndarray | None = None


class Runtime(Protocol):
    """Runs the four networks of one world.

    Attributes:
        spec: the world.
        window: W, how many past frames a step can see.
        latent_shape: (C, h, w). pictures: in a latent frame; the second one is what is behind the first.
        entry_shape: (L, M, F).
        reach: which older frames are remembered; () without memory.
        log_shape: (Q, U), what each of them leaves in the log; None without memory.
        draws: arrays of noise a frame.
        digest: names these weights; a snapshot of one world does not fit another.
        starts: where play can begin; None if the runtime was made in memory, without a bundle.
    """

    spec: WorldSpec
    window: int
    latent_shape: tuple[int, int, int]
    pictures: int
    entry_shape: tuple[int, int, int]
    reach: Reach
    log_shape: tuple[int, int] | None
    draws: int
    digest: str
    starts: Starts | None

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """Frames uint8 `[B, T, H, W, 3]` -> latents float32 `[B, T, C, h, w]`."""

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """Latents float32 `[B, T, C, h, w]` -> frames uint8 `[B, T, H, W, 3]`."""

    def prefill(self, latents: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Latents float32 `[B, T, C, h, w]` and the actions taken on seeing them, int64 `[B, T]` -> cache entries
        float16 `[B, T, L, M, F]`."""

    def remember(self, before: np.ndarray, after: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Latents and those of the frames that followed, two of float32 `[B, T, C, h, w]`, and the actions between
        them, int64 `[B, T]` -> what the frames leave in the log, float16 `[B, T, Q, U]`. Only with memory."""

    def step(
        self,
        cache: np.ndarray,
        length: np.ndarray,
        latents: np.ndarray,
        actions: np.ndarray,
        noise: np.ndarray,
        *memory: np.ndarray,
    ) -> StepOutput:
        """Generate the next frame.

        Args:
            cache: float16 `[B, W, L, M, F]`, entries of the frames before the one on screen, oldest first.
            length: int64 `[B]`, how many of the newest entries are real.
            latents: float32 `[B, C, h, w]` of the frame on screen.
            actions: int64 `[B]`, taken on seeing it.
            noise: float32 `[B, draws, C, h, w]`, standard normal.
            memory: with memory, the log float16 `[B, S, Q, U]`, S at least 1, and how many frames before the one on
                screen each of it is, int64 `[B, S]`, 0 for nothing.
        """


def load_runtime(bundle: Bundle, kind: str = "onnx", device: Device = "auto") -> Runtime:
    """Make a world ready to run.

    Args:
        bundle: the world.
        kind: "onnx"; "torch" for the reference; or "batch", torch in bfloat16 and compiled, where there are a processor
            and a compiler for that: for many rows at once, after a minute of preparation for each number of rows.
        device: "auto" takes the GPU where there is one.

    Raises:
        WorldsimError: for another kind, a device that is not there, torch missing, or a graph that does not load.
    """
    if kind == "onnx":
        return OnnxRuntime(bundle, device)
    if kind not in ("torch", "batch"):
        raise WorldsimError(f"no runtime {kind!r}; there are onnx, torch and batch")
    for module in ("torch", "einops"):
        require(module, "train")
    from worldsim.torch_runtime import TorchRuntime

    return TorchRuntime.of_bundle(bundle, device, mixed=kind == "batch")


class OnnxRuntime:
    """The exported graphs in ONNX Runtime; attributes and methods are those of `Runtime`.

    Each graph is loaded when it is first needed, and is handed the weights of the one weights file.

    Args:
        bundle: the world.
        device: "auto", "cpu" or "cuda".
        threads: of one step; 0 for one a core, at most `MOST_THREADS`.

    Raises:
        WorldsimError: if the device is not there, or a graph does not load.
    """

    def __init__(self, bundle: Bundle, device: Device = "auto", threads: int = 0):
        self.spec, self.digest = bundle.spec, bundle.digest
        self.starts: Starts | None = bundle.starts
        self.window, self.draws = bundle.window, bundle.draws
        self.latent_shape, self.entry_shape = bundle.latent_shape, bundle.entry_shape
        self.pictures = bundle.pictures
        self.reach, self.log_shape = bundle.reach, bundle.log_shape
        self.threads = threads or min(MOST_THREADS, _cores())
        self._bundle, self._providers = bundle, _providers(device)
        self._weights = {name: onnxruntime.OrtValue.ortvalue_from_numpy(w) for name, w in bundle.weights().items()}
        self._sessions: dict[str, onnxruntime.InferenceSession] = {"step": self._load("step")}

    @property
    def device(self) -> str:
        """Where the step runs: "cpu" or "cuda"."""
        return "cuda" if self._sessions["step"].get_providers()[0].startswith("CUDA") else "cpu"

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """Frames -> latents, see `Runtime`."""
        (latents,) = self._run("encoder", frames.reshape(-1, *frames.shape[2:]))
        return latents.reshape(*frames.shape[:2], *self.latent_shape)

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """Latents -> frames, see `Runtime`."""
        (frames,) = self._run("decoder", latents.reshape(-1, *latents.shape[2:]))
        return frames.reshape(*latents.shape[:2], *frames.shape[1:])

    def prefill(self, latents: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Known frames -> cache entries, see `Runtime`."""
        return self._run("prefill", latents, actions)[0]

    def remember(self, before: np.ndarray, after: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """What known frames leave in the log, see `Runtime`."""
        return self._run("remember", before, after, actions)[0]

    def step(
        self,
        cache: np.ndarray,
        length: np.ndarray,
        latents: np.ndarray,
        actions: np.ndarray,
        noise: np.ndarray,
        *memory: np.ndarray,
    ) -> StepOutput:
        """The next frame, see `Runtime`."""
        return StepOutput(*self._run("step", cache, length, latents, actions, noise, *memory))

    def _run(self, graph: str, *inputs: np.ndarray) -> list[Any]:
        if graph not in self._sessions:
            self._sessions[graph] = self._load(graph)
        session = self._sessions[graph]
        return session.run(None, dict(zip((i.name for i in session.get_inputs()), inputs, strict=True)))

    def _load(self, graph: str) -> onnxruntime.InferenceSession:
        path = self._bundle.path / f"{graph}.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 3  # errors only
        # Threads that wait by spinning take the cores from whoever else plays: a step cost 40% more CPU with it, beside
        # other work also more time.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        names = self._bundle.graph_weights[graph]
        options.add_external_initializers(names, [self._weights[name] for name in names])
        try:
            session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=self._providers)
        except Exception as error:  # ONNX Runtime's own errors share no base class but this
            raise WorldsimError(
                f"ONNX Runtime {onnxruntime.__version__} does not load {path} ({error}). "
                "Export the world again, or pip install -U onnxruntime."
            ) from error
        if self._providers[0].startswith("CUDA") and not session.get_providers()[0].startswith("CUDA"):
            raise WorldsimError(
                "ONNX Runtime finds no CUDA libraries for the GPU. Install CUDA 12 and cuDNN 9, or give --device cpu."
            )
        return session


def _providers(device: Device) -> Sequence[str]:
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


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
