"""A graph with the products of its transformer blocks in 8-bit integers, made when it is loaded. Needs no onnx package.

    x @ transpose(weight)   ->   dequantize(quantize(x) @ weight in 8 bits)

Weights are unsigned bytes around 128, with a scale for each output: that is exact on processors without VNNI too, where
signed ones overflow. Activations have one scale an array, from its largest and smallest number (ONNX's
DynamicQuantizeLinear). ONNX Runtime makes one kernel of it. Everything outside the blocks stays in float32: first and
last layers, norms, copy head, decoder. A bundle is not changed, and holds no second graph.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from worldsim.runtime.onnx_check import (
    GRAPH_INITIALIZER,
    GRAPH_NODE,
    MODEL_GRAPH,
    NODE_OPERATOR,
    TENSOR_NAME,
    Value,
    read_fields,
)

QUANTIZED = ".blocks."  # in the names of the weights that are
ZERO = 128  # of a quantized weight
NODE_INPUT, NODE_OUTPUT = 1, 2
TENSOR_DIMS, TENSOR_TYPE, TENSOR_ENTRY, TENSOR_LOCATION = 1, 2, 13, 14
FLOAT, UINT8 = 1, 2  # types of tensors
CAST_TO_FLOAT = b"\x0a\x02to\x18\x01\xa0\x01\x02"  # an attribute: name "to", integer FLOAT, type INT


def quantized(data: bytes, weights: Mapping[str, np.ndarray]) -> tuple[bytes, dict[str, np.ndarray]]:
    """An ONNX graph, checked before, with the products of its blocks in 8 bits.

    Args:
        data: of the graph.
        weights: float32, those that it is handed, by name.

    Returns:
        the graph, and all that it is to be handed: the weights it still needs as they were, and the quantized ones.
    """
    handed = dict(weights)
    model = bytearray()
    for field, value in read_fields(data):
        model += _field(field, _graph(value, handed) if field == MODEL_GRAPH and isinstance(value, bytes) else value)
    return bytes(model), handed


def _graph(graph: bytes, handed: dict[str, np.ndarray]) -> bytes:
    fields = list(read_fields(graph))
    nodes = [_read_node(value) for field, value in fields if field == GRAPH_NODE and isinstance(value, bytes)]
    matrices = {  # transposed weights of blocks that are multiplied with, and with nothing else done to them
        outputs[0]: inputs[0]
        for operator, inputs, outputs in nodes
        if operator == "Transpose" and QUANTIZED in inputs[0] and handed.get(inputs[0], np.empty(0)).ndim == 2
    }
    for operator, inputs, _ in nodes:
        for place, name in enumerate(inputs):
            if name in matrices and (operator, place) != ("MatMul", 1):
                del matrices[name]
    made, seen = bytearray(), set[str]()
    for field, value in fields:
        if field == GRAPH_NODE and isinstance(value, bytes):
            operator, inputs, outputs = _read_node(value)
            if outputs[0] in matrices:
                continue
            if operator == "MatMul" and inputs[1] in matrices:
                made += _product(inputs[0], matrices[inputs[1]], outputs[0], seen)
                continue
        if field == GRAPH_INITIALIZER and isinstance(value, bytes) and _name(value) in matrices.values():
            continue
        made += _field(field, value)
    for name in matrices.values():
        stored, scale = quantize(handed.pop(name))
        for suffix, array in ((":stored", stored), (":scale", scale), (":zero", np.array(ZERO, np.uint8))):
            handed[name + suffix] = array
            made += _field(GRAPH_INITIALIZER, _initializer(name + suffix, array))
    return bytes(made)


def quantize(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A matrix float32 `[out, in]` -> uint8 `[in, out]` around `ZERO`, and each column's scale, float32 `[out]`."""
    scale = np.maximum(np.abs(weight).max(axis=1), 1e-12) / 127
    stored = np.rint(weight / scale[:, None]) + ZERO
    return np.ascontiguousarray(stored.T.astype(np.uint8)), scale.astype(np.float32)


def _product(x: str, weight: str, out: str, seen: set[str]) -> bytes:
    """Nodes that make `out` of `x`; what several products read is quantized once."""
    stored, scale, zero = f"{x}:stored", f"{x}:scale", f"{x}:zero"
    nodes = [] if x in seen else [_node("DynamicQuantizeLinear", [x], [stored, scale, zero])]
    seen.add(x)
    nodes += [
        _node("MatMulInteger", [stored, f"{weight}:stored", zero, f"{weight}:zero"], [f"{out}:integer"]),
        _node("Cast", [f"{out}:integer"], [f"{out}:float"], CAST_TO_FLOAT),
        _node("Mul", [scale, f"{weight}:scale"], [f"{out}:scale"]),
        _node("Mul", [f"{out}:float", f"{out}:scale"], [out]),
    ]
    return b"".join(_field(GRAPH_NODE, node) for node in nodes)


def _read_node(node: bytes) -> tuple[str, list[str], list[str]]:
    """Its operator, and the names of its inputs and outputs."""
    operator, names = "", {NODE_INPUT: list[str](), NODE_OUTPUT: list[str]()}
    for field, value in read_fields(node):
        if isinstance(value, bytes) and field in (*names, NODE_OPERATOR):
            if field == NODE_OPERATOR:
                operator = value.decode()
            else:
                names[field].append(value.decode())
    return operator, names[NODE_INPUT], names[NODE_OUTPUT]


def _name(tensor: bytes) -> str:
    return next((v.decode() for f, v in read_fields(tensor) if f == TENSOR_NAME and isinstance(v, bytes)), "")


def _node(operator: str, inputs: list[str], outputs: list[str], attribute: bytes = b"") -> bytes:
    fields = [(NODE_INPUT, name) for name in inputs] + [(NODE_OUTPUT, name) for name in outputs]
    encoded = b"".join(_field(field, name.encode()) for field, name in fields)
    return encoded + _field(NODE_OPERATOR, operator.encode()) + (_field(5, attribute) if attribute else b"")


def _initializer(name: str, array: np.ndarray) -> bytes:
    """A tensor that lies outside the graph, to be handed to it."""
    tensor = b"".join(_field(TENSOR_DIMS, size) for size in array.shape)
    tensor += _field(TENSOR_TYPE, UINT8 if array.dtype == np.uint8 else FLOAT) + _field(TENSOR_NAME, name.encode())
    for key, value in (("location", "model.safetensors"), ("offset", "0"), ("length", str(array.nbytes))):
        tensor += _field(TENSOR_ENTRY, _field(1, key.encode()) + _field(2, value.encode()))
    return tensor + _field(TENSOR_LOCATION, 1)


def _field(number: int, value: Value) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
