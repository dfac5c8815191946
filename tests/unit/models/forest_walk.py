"""A forest's file, read and walked in plain Python: slow, and independent of Penstock's own readers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import safetensors.numpy

Matrix = np.ndarray[Any, Any]


def walk(content: bytes, x: Matrix) -> Matrix:
    """The predictions of the rows `x`, in the form of a bundle's `prediction`."""
    arrays, about = safetensors.numpy.load(content), describe(content)
    if about["single_precision"]:
        with np.errstate(over="ignore"):
            x = x.astype(np.float32).astype(np.float64)
    sums = np.tile(arrays["base"], (len(x), 1))
    starts = dict.fromkeys(("split", "leaf", "category"), 0)
    for splits, output in zip(arrays["splits"].tolist(), arrays["outputs"].tolist(), strict=True):
        tree = _Tree(arrays, starts, splits)
        for row, values in enumerate(x.tolist()):
            added = tree.leaf(values)
            if len(added) == 1:
                sums[row, output] += added[0]
            else:
                sums[row] += added
    return _linked(sums / about["divisor"], about["link"], about["scale"])


def describe(content: bytes) -> dict[str, Any]:
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    found: dict[str, Any] = json.loads(header["__metadata__"]["penstock"])
    return found


class _Tree:
    def __init__(self, arrays: dict[str, Matrix], starts: dict[str, int], splits: int) -> None:
        at = slice(starts["split"], starts["split"] + splits)
        names = ("features", "thresholds", "missing_left", "left", "right", "category_counts")
        self.splits = list(zip(*(arrays[name][at].tolist() for name in names), strict=True))
        self.sets = []
        for count in arrays["category_counts"][at].tolist():
            members = arrays["categories"][starts["category"] : starts["category"] + max(count, 0)]
            self.sets.append(set(members.tolist()))
            starts["category"] += max(count, 0)
        self.leaves = arrays["leaves"][starts["leaf"] : starts["leaf"] + splits + 1]
        starts["split"] += splits
        starts["leaf"] += splits + 1

    def leaf(self, row: list[float]) -> Matrix:
        at = 0 if self.splits else ~0
        while at >= 0:
            feature, threshold, missing_left, left, right, count = self.splits[at]
            value = row[feature]
            if value != value:
                goes_left = missing_left
            elif count < 0:
                goes_left = value <= threshold
            else:
                goes_left = -1 < value < 2**31 and int(value) in self.sets[at]
            at = left if goes_left else right
        return self.leaves[~at]


def _linked(sums: Matrix, link: str, scale: float) -> Matrix:
    with np.errstate(over="ignore"):
        if link == "softmax":
            powers = np.exp(sums - sums.max(axis=1, keepdims=True))
            return powers / powers.sum(axis=1, keepdims=True)
        found = {
            "identity": lambda: sums,
            "sigmoid": lambda: 1 / (1 + np.exp(-scale * sums)),
            "exponential": lambda: np.exp(sums),
            "hinge": lambda: (sums > 0).astype(np.float64),
        }[link]()
    return found[:, 0] if found.shape[1] == 1 else found
