"""Which operators an ONNX file uses, read without its weights and without the onnx package.

The file is a protobuf message, `ModelProto` of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. Fields
that are of no interest are passed over by their length.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from penstock.errors import ModelError

# Field numbers.
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _FUNCTION_NODE = 1, 7
_NODE_OPERATOR = 4
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


def operators(path: str | Path) -> frozenset[str]:
    """Of the main graph and of the functions that it may call. Of If, Loop and Scan, which have graphs of
    their own, only these names. ModelError where the file is damaged.
    """
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            return frozenset(_operators(content))
        except (IndexError, ValueError) as error:
            raise ModelError(f"{Path(path).name} is no whole ONNX file.") from error


def _operators(content: mmap.mmap) -> Iterator[str]:
    for number, start, end in _messages(content, 0, len(content)):
        if number in (_MODEL_GRAPH, _MODEL_FUNCTIONS):
            node = _GRAPH_NODE if number == _MODEL_GRAPH else _FUNCTION_NODE
            for inner, node_start, node_end in _messages(content, start, end):
                if inner != node:
                    continue
                for field, at, stop in _messages(content, node_start, node_end):
                    if field == _NODE_OPERATOR:
                        yield content[at:stop].decode()


def _messages(content: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each field that has a length. ValueError where one ends beyond `end`."""
    while at < end:
        key, at = _varint(content, at)
        kind = key & 7
        if kind == _BYTES:
            length, at = _varint(content, at)
            if at + length > end:
                raise ValueError("a field ends outside of its message")
            yield key >> 3, at, at + length
            at += length
        elif kind == _VARINT:
            _, at = _varint(content, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind}")
    if at != end:
        raise ValueError("a message ends within a field")


def _varint(content: mmap.mmap, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number has more than ten bytes")
