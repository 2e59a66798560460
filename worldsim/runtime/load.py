"""Make a world ready to run, in ONNX Runtime or in torch. Imports torch only where it is asked for."""

from __future__ import annotations

from worldsim.errors import WorldsimError, require
from worldsim.runtime.base import Device, Runtime
from worldsim.runtime.bundle import Bundle
from worldsim.runtime.onnx import OnnxRuntime


def load_runtime(bundle: Bundle, kind: str = "onnx", device: Device = "auto") -> Runtime:
    """Make a world ready to run.

    Args:
        bundle: the world.
        kind: "onnx"; "int8", the same on the CPU with products in 8 bits, faster and less exact; "torch" for the
            reference; or "batch", torch in bfloat16 and compiled, where there are a processor and a compiler for that:
            for many rows at once, after a minute of preparation for each number of rows.
        device: "auto" takes the GPU where there is one.

    Raises:
        WorldsimError: for another kind, a device that is not there, torch missing, or a graph that does not load.
    """
    if kind in ("onnx", "int8"):
        return OnnxRuntime(bundle, device, int8=kind == "int8")
    if kind not in ("torch", "batch"):
        raise WorldsimError(f"no runtime {kind!r}; there are onnx, int8, torch and batch")
    for module in ("torch", "einops"):
        require(module, "train")
    from worldsim.runtime.torch import TorchRuntime

    return TorchRuntime.of_bundle(bundle, device, mixed=kind == "batch")
