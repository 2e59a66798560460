"""A world's step as browsers run it: the bundle's graph for one player, with its weights in a file of their own.

Weights stay in float16 where that loses nothing; the graph casts them to float32, once, when it is loaded. So the
numbers are the same as in a bundle. Knows no pages.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from worldsim.errors import WorldsimError
from worldsim.runtime.bundle import Bundle

WEIGHTS = "weights.bin"  # the name by which the graph refers to them
ALIGNED = 16  # bytes


def browser_step(bundle: Bundle) -> tuple[bytes, bytes]:
    """The step of one player: ONNX bytes, and the weights that its initializers point into.

    Raises:
        WorldsimError: if the graph has operators that ONNX Runtime Web lacks, or weights that the bundle lacks.
    """
    model = onnx.load(bundle.path / "step.onnx", load_external_data=False)
    check_operators(model)
    weights = bundle.weights()
    missing = sorted(set(bundle.graph_weights["step"]) - set(weights))
    if missing:
        raise WorldsimError(f"world {bundle.spec.name!r} has no weight {missing[0]!r}. Export the world again.")
    data, casts = bytearray(), []
    for initializer in model.graph.initializer:
        if initializer.data_location != TensorProto.EXTERNAL:
            continue
        name, weight = initializer.name, weights[initializer.name]
        half = weight.astype(np.float16) if weight.dtype == np.float32 else weight
        if weight.dtype == np.float32 and np.array_equal(half.astype(np.float32), weight):
            stored, weight = f"{name}:half", half
            casts.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
        else:
            stored = name
        initializer.CopyFrom(_external(stored, weight, data))
    nodes = list(model.graph.node)
    for node in nodes:
        if node.op_type == "RMSNormalization":  # by its older name ONNX Runtime also has it on the GPU
            node.op_type = "SimplifiedLayerNormalization"
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend([*casts, *nodes])
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1  # a browser has one player
    return model.SerializeToString(), bytes(data)


def check_operators(model: onnx.ModelProto) -> None:
    """ONNX Runtime Web has every operator of the ONNX standard, and none of anybody's own.

    Raises:
        WorldsimError: for a graph with others.
    """
    nodes = [node for node in model.graph.node if node.domain not in ("", "ai.onnx")]
    foreign = sorted({f"{node.domain}.{node.op_type}" for node in nodes})
    if foreign or model.functions:
        what = ", ".join(foreign) or "functions of a graph"
        raise WorldsimError(f"browsers can't run {what}. Export the world again.")


def _external(name: str, array: np.ndarray, data: bytearray) -> TensorProto:
    """An initializer whose numbers are appended to `data`."""
    data.extend(b"\0" * (-len(data) % ALIGNED))
    tensor = numpy_helper.from_array(np.ascontiguousarray(array), name)
    raw = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", WEIGHTS), ("offset", len(data)), ("length", len(raw))):
        tensor.external_data.add(key=key, value=str(value))
    data.extend(raw)
    return tensor
