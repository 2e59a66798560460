"""What an ONNX graph may hold, looked at before ONNX Runtime reads it. Needs no onnx package, knows no world.

A graph from elsewhere may name files to read as its weights, loop without end, or call operators of other libraries. So
a graph is nodes of ONNX's own operators, without subgraphs and functions, and what it takes from outside is handed to
it. Only as much of the format is read as these rules need: protocol buffers, with the field numbers of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

GRAPH_BYTES = 8 << 20  # weights are not in it: ours have less than half a megabyte
OWN_DOMAINS = (b"", b"ai.onnx")

# field numbers of onnx.proto
MODEL_GRAPH, MODEL_TRAINING, MODEL_FUNCTIONS = 7, 20, 25
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_SPARSE = 1, 5, 15
NODE_OPERATOR, NODE_ATTRIBUTE, NODE_DOMAIN = 4, 5, 7
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH, ATTRIBUTE_TENSORS, ATTRIBUTE_GRAPHS = 5, 6, 10, 11
ATTRIBUTE_SPARSE = (22, 23)
TENSOR_NAME, TENSOR_EXTERNAL, TENSOR_LOCATION = 8, 13, 14

Value = int | bytes  # a number, or text, bytes or a message


def check_graph(data: bytes, handed: Collection[str]) -> None:
    """Make sure that a model keeps to the rules above.

    Args:
        data: of the file.
        handed: names of the weights that it is handed; no other tensor may lie outside the file.

    Raises:
        ValueError: naming what breaks them, or if it is no ONNX model.
    """
    if len(data) > GRAPH_BYTES:
        raise ValueError(f"a graph of {len(data):,} bytes; at most {GRAPH_BYTES:,} are read")
    graphs = 0
    for field, value in read_fields(data):
        if field in (MODEL_TRAINING, MODEL_FUNCTIONS):
            raise ValueError("a graph with functions, or with training steps")
        if field == MODEL_GRAPH:
            graphs += 1
            _check_nodes(_message(value), frozenset(handed))
    if graphs != 1:
        raise ValueError("not an ONNX model")


def _check_nodes(graph: bytes, handed: frozenset[str]) -> None:
    outside: set[str] = set()
    for field, value in read_fields(graph):
        if field == GRAPH_NODE:
            _check_node(_message(value))
        elif field == GRAPH_SPARSE:
            raise ValueError("a graph with sparse tensors")
        elif field == GRAPH_INITIALIZER:
            name, external = _tensor(_message(value))
            if external and (name not in handed or name in outside):
                raise ValueError(f"tensor {name!r} lies in another file")
            if external:
                outside.add(name)


def _check_node(node: bytes) -> None:
    operator = b""
    for field, value in read_fields(node):
        if field == NODE_OPERATOR:
            operator = _message(value)
        elif field == NODE_DOMAIN and value not in OWN_DOMAINS:
            raise ValueError(f"an operator of {_text(value)!r}; only ONNX's own are run")
        elif field == NODE_ATTRIBUTE:
            for kind, content in read_fields(_message(value)):
                if kind in (ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS):
                    raise ValueError(f"a graph within the graph, of operator {_text(operator)!r}")
                if kind in ATTRIBUTE_SPARSE:
                    raise ValueError("a graph with sparse tensors")
                if kind in (ATTRIBUTE_TENSOR, ATTRIBUTE_TENSORS) and _tensor(_message(content))[1]:
                    raise ValueError("a constant lies in another file")


def _tensor(tensor: bytes) -> tuple[str, bool]:
    """Its name, and whether its numbers lie in another file."""
    name, external = "", False
    for field, value in read_fields(tensor):
        if field == TENSOR_NAME:
            name = _text(value)
        external |= field == TENSOR_EXTERNAL or (field == TENSOR_LOCATION and value != 0)
    return name, external


def read_fields(message: bytes) -> Iterator[tuple[int, Value]]:
    """Fields of a message, in order, as (number, value).

    Raises:
        ValueError: if it is not a whole message.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if not 8 <= key < 1 << 32:
            raise ValueError("not an ONNX model")
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError("not an ONNX model")
        if at + size > len(message):
            raise ValueError("an ONNX model that was cut")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the low ones first, and where it ends."""
    number = 0
    for i, byte in enumerate(message[at : at + 10]):
        number |= (byte & 127) << 7 * i
        if byte < 128:
            return number, at + i + 1
    raise ValueError("an ONNX model that was cut")


def _message(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("not an ONNX model")
    return value


def _text(value: Value) -> str:
    return _message(value)[:200].decode("utf-8", "replace")
