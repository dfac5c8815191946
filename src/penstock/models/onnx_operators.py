"""Which operators an ONNX file uses, read without its weights and without the onnx package.

The file is a protobuf message, `ModelProto` of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. Fields
that are of no interest are passed over by their length.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from penstock.errors import ModelError

# Field numbers.
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_FUNCTION_NODE = 7
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_TENSOR, _ATTRIBUTE_INTS = 1, 5, 8
_TENSOR_TYPE, _TENSOR_INT64, _TENSOR_NAME, _TENSOR_RAW = 2, 7, 8, 9
_INT64 = 7  # TensorProto.DataType
_FEW_BYTES = 256
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# What gives a row of its result from that row of its inputs alone, where the axes are those of a row. Whether
# they are, and whether the library's kernels keep to one order of sums, is for a measurement to tell.
_NAMES = """
    Abs Add BatchNormalization Cast Ceil Clip Concat Constant Div Elu Equal Erf Exp FeatureVectorizer Flatten
    Floor Gather Gelu Gemm Greater GreaterOrEqual HardSigmoid HardSwish Identity Imputer IsInf IsNaN
    LabelEncoder LayerNormalization LeakyRelu Less LessOrEqual LinearClassifier LinearRegressor Log LogSoftmax
    MatMul Max Min Mish Mul Neg Normalizer Not OneHotEncoder Or PRelu Pow Reciprocal Relu Reshape Round Scaler
    Selu Shape Sigmoid Sign Slice Softmax Softplus Softsign Split Sqrt Squeeze Sub Sum Tanh ThresholdedRelu
    Transpose TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor Unsqueeze Where Xor
"""
ROW_BY_ROW = frozenset(_NAMES.split())
# These too, as LayerNormalization is written in older files, over axes that are not the first.
_REDUCTIONS = frozenset({"ReduceMean", "ReduceSum"})


@dataclass(frozen=True)
class Node:
    """An operator. `axes`: those that the file states for it, as an attribute or as a constant second input;
    none where it states none.
    """

    operator: str
    axes: tuple[int, ...] = ()


def nodes(path: str | Path) -> list[Node]:
    """Of the main graph and of the functions that it may call. Of If, Loop and Scan, which have graphs of
    their own, only these themselves. ModelError where the file is damaged.
    """
    try:
        # An empty file cannot be mapped: a ValueError, too.
        with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return list(_nodes(content))
    except (IndexError, ValueError, struct.error) as error:
        raise ModelError("the model's file is no whole ONNX file.") from error


def across_rows(path: str | Path) -> frozenset[str]:
    """The operators that may let a row see others. A negative axis counts as another than the first: of
    which rank a tensor is, the file does not tell.
    """
    return frozenset(
        node.operator
        for node in nodes(path)
        if node.operator not in ROW_BY_ROW
        and (node.operator not in _REDUCTIONS or not node.axes or 0 in node.axes)
    )


@dataclass
class _Raw:
    operator: str
    inputs: list[str]
    outputs: list[str]
    ints: dict[str, tuple[int, ...]]  # attributes that are lists of integers, or tensors of them


def _nodes(content: mmap.mmap) -> Iterator[Node]:
    for number, start, end in _fields(content, 0, len(content)):
        if number not in (_MODEL_GRAPH, _MODEL_FUNCTIONS):
            continue
        is_graph = number == _MODEL_GRAPH
        raw: list[_Raw] = []
        constants: dict[str, tuple[int, ...]] = {}
        for inner, at, stop in _fields(content, start, end):
            if inner == (_GRAPH_NODE if is_graph else _FUNCTION_NODE):
                raw.append(_node(content, at, stop))
            elif is_graph and inner == _GRAPH_INITIALIZER:
                name, values = _integers(content, at, stop)
                constants[name] = values
        for node in raw:
            if node.operator == "Constant" and node.outputs:
                constants[node.outputs[0]] = node.ints.get("value_ints") or node.ints.get("value", ())
        for node in raw:
            stated = constants.get(node.inputs[1], ()) if len(node.inputs) > 1 else ()
            yield Node(node.operator, node.ints.get("axes") or stated)


def _node(content: mmap.mmap, at: int, end: int) -> _Raw:
    node = _Raw("", [], [], {})
    for number, start, stop in _fields(content, at, end):
        if number == _NODE_OPERATOR:
            node.operator = content[start:stop].decode()
        elif number == _NODE_INPUT:
            node.inputs.append(content[start:stop].decode())
        elif number == _NODE_OUTPUT:
            node.outputs.append(content[start:stop].decode())
        elif number == _NODE_ATTRIBUTE:
            name, ints = _attribute(content, start, stop)
            node.ints[name] = ints
    return node


def _attribute(content: mmap.mmap, at: int, end: int) -> tuple[str, tuple[int, ...]]:
    """Its name and, if it is a list of integers or a tensor of them, these."""
    name, values = "", list[int]()
    for number, start, stop in _fields(content, at, end):
        if number == _ATTRIBUTE_NAME:
            name = content[start:stop].decode()
        elif number == _ATTRIBUTE_INTS:
            values += _numbers(content, start, stop)
        elif number == _ATTRIBUTE_TENSOR:
            values += _integers(content, start, stop)[1]
    return name, tuple(values)


def _integers(content: mmap.mmap, at: int, end: int) -> tuple[str, tuple[int, ...]]:
    """A tensor's name and, if it is one of few 64-bit integers, these."""
    name, kind, raw = "", 0, b""
    values: list[int] = []
    for number, start, stop in _fields(content, at, end):
        if number == _TENSOR_NAME:
            name = content[start:stop].decode()
        elif number == _TENSOR_TYPE:
            kind = _varint(content, start)[0]
        elif stop - start > _FEW_BYTES:
            continue
        elif number == _TENSOR_INT64:
            values += _numbers(content, start, stop)
        elif number == _TENSOR_RAW:
            raw = content[start:stop]
    if kind != _INT64:
        return name, ()
    return name, (*values, *(value for (value,) in struct.iter_unpack("<q", raw)))


def _numbers(content: mmap.mmap, at: int, end: int) -> Iterator[int]:
    """The integers of a field, packed or one alone."""
    while at < end:
        value, at = _varint(content, at)
        yield value - (1 << 64) if value >> 63 else value


def _fields(content: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each field: of what it holds, without its length where it has one. ValueError
    where one ends beyond `end`.
    """
    while at < end:
        key, at = _varint(content, at)
        kind, start = key & 7, at
        if kind == _BYTES:
            length, start = _varint(content, at)
            at = start + length
        elif kind == _VARINT:
            _, at = _varint(content, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at > end:
            raise ValueError("a field ends outside of its message")
        yield key >> 3, start, at


def _varint(content: mmap.mmap, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number has more than ten bytes")
