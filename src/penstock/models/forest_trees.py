"""Trees as a forest's file has them, gathered from those of a library.

Libraries number all nodes of a tree in one row; the file, as the executor, has splits and leaves apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from penstock.models.tensor_file import Array

# A split's `category_counts` where it is one of numbers.
NUMERIC = -1


@dataclass(frozen=True)
class Nodes:
    """One tree of a library's, node by node; node 0 is the root. `left` of a leaf is negative.

    A number goes left at `threshold` and below, NaN where `missing_left` says. At a node of `categories`
    those go left that are members there. `values` are [nodes, values a leaf]; `covers`, the weight of the
    training rows that reached a node, is None where the library has none.
    """

    left: Array
    right: Array
    feature: Array
    threshold: Array
    missing_left: Array
    values: Array
    covers: Array | None
    categories: Mapping[int, Array] = field(default_factory=dict)


class Trees:
    """Trees in the order in which their leaves are added up."""

    def __init__(self, values_a_leaf: int) -> None:
        self._values_a_leaf = values_a_leaf
        self._parts: dict[str, list[Array]] = {name: [] for name in DTYPES}

    def add(self, nodes: Nodes, output: int) -> None:
        """A tree whose leaves add to `output`. ValueError for nodes that are no tree."""
        reached = _reached(nodes.left, nodes.right)
        is_split = np.asarray(nodes.left)[reached] >= 0
        splits, leaves = reached[is_split], reached[~is_split]
        place = np.empty(len(nodes.left), np.int64)
        place[splits] = np.arange(len(splits))
        place[leaves] = ~np.arange(len(leaves))
        counts = np.full(len(splits), NUMERIC)
        members = []
        for split in np.flatnonzero(np.isin(splits, list(nodes.categories))) if nodes.categories else ():
            found = np.unique(nodes.categories[int(splits[split])])
            counts[split] = len(found)
            members.append(found)
        covers = np.empty(0) if nodes.covers is None else np.asarray(nodes.covers)
        added = {
            "splits": [len(splits)],
            "outputs": [output],
            "features": nodes.feature[splits],
            "thresholds": np.where(counts == NUMERIC, nodes.threshold[splits], 0),
            "missing_left": nodes.missing_left[splits],
            "left": place[nodes.left[splits]],
            "right": place[nodes.right[splits]],
            "covers": covers[splits] if len(covers) else covers,
            "category_counts": counts,
            "categories": np.concatenate(members) if members else [],
            "leaves": nodes.values[leaves],
            "leaf_covers": covers[leaves] if len(covers) else covers,
        }
        for name, part in added.items():
            self._parts[name].append(_fitted(np.asarray(part), DTYPES[name], name))

    def arrays(self) -> dict[str, Array]:
        """By name, as the file has them."""
        flat = {
            name: np.concatenate(parts) if parts else np.empty(0, DTYPES[name])
            for name, parts in self._parts.items()
        }
        flat["leaves"] = flat["leaves"].reshape(-1, self._values_a_leaf)
        return flat


# The file's tensors but `base`. [trees]: splits, outputs. [splits of all trees]: features to category_counts.
DTYPES: Mapping[str, np.dtype[Any]] = {
    "splits": np.dtype(np.int32),
    "outputs": np.dtype(np.int32),
    "features": np.dtype(np.int32),
    "thresholds": np.dtype(np.float64),
    "missing_left": np.dtype(np.bool_),
    "left": np.dtype(np.int32),
    "right": np.dtype(np.int32),
    "covers": np.dtype(np.float64),
    "category_counts": np.dtype(np.int32),
    "categories": np.dtype(np.int32),
    "leaves": np.dtype(np.float64),
    "leaf_covers": np.dtype(np.float64),
}


def _reached(left: Array, right: Array) -> Array:
    """The nodes that are reached from the root, ascending. Libraries may keep what they pruned."""
    level = np.zeros(1, np.int64)
    met = [level]
    count = 1
    while len(level):
        inner = level[left[level] >= 0]
        level = np.concatenate([left[inner], right[inner]]).astype(np.int64)
        if len(level) and not (level.min() >= 1 and level.max() < len(left)):
            raise ValueError(f"has a child that is none of its {len(left)} nodes")
        met.append(level)
        count += len(level)
        if count > len(left):
            break
    nodes = np.sort(np.concatenate(met))
    if np.any(nodes[1:] == nodes[:-1]):
        raise ValueError("reaches a node in two ways")
    return nodes


def _fitted(part: Array, dtype: np.dtype[Any], name: str) -> Array:
    if dtype.kind == "i" and len(part):
        limits = np.iinfo(dtype)
        if not (limits.min <= part.min() and part.max() <= limits.max):
            raise ValueError(f"has {name} beyond 32 bits")
    return part.astype(dtype)
