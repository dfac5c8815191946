"""A LightGBM binary classifier as an ONNX graph of one TreeEnsemble (ai.onnx.ml, opset 5), for ONNX Runtime.

Thresholds and leaves are single precision, as ONNX Runtime's fast path has them. For FP32 rows the splits
stay what they were: x <= threshold holds for the same x when the threshold is rounded down.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import lightgbm
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LEQ, MEMBER = 0, 6  # of the operator's nodes_modes


@dataclass
class Nodes:
    """The operator's attributes: one entry for each split, and for each leaf."""

    features: list[int] = field(default_factory=list)
    modes: list[int] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    children: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))  # true, false
    leaf_children: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    missing_true: list[int] = field(default_factory=list)
    members: list[float] = field(default_factory=list)  # NaN ends each set
    leaves: list[float] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)

    def add_tree(self, structure: dict[str, Any]) -> None:
        """A tree of `Booster.dump_model`."""
        if "leaf_value" in structure:
            raise ValueError("a tree of a single leaf has no split, and the operator needs one")
        self.roots.append(len(self.features))
        self._add(structure)

    def _add(self, structure: dict[str, Any]) -> tuple[int, int]:
        """Its index, and whether it is a leaf."""
        if "leaf_value" in structure:
            self.leaves.append(structure["leaf_value"])
            return len(self.leaves) - 1, 1
        index = len(self.features)
        categorical = structure["decision_type"] == "=="
        if structure["missing_type"] == "Zero":
            raise ValueError("zero_as_missing has no counterpart in the operator")
        self.features.append(structure["split_feature"])
        self.modes.append(MEMBER if categorical else LEQ)
        self.splits.append(0.0 if categorical else rounded_down(structure["threshold"]))
        if categorical:
            members = (float(category) for category in structure["threshold"].split("||"))
            self.members.extend((*members, float("nan")))
        missing_is_nan = structure["missing_type"] == "NaN"
        self.missing_true.append(int(missing_is_nan and structure["default_left"] and not categorical))
        for side in (*self.children, *self.leaf_children):
            side.append(0)
        for side, name in enumerate(("left_child", "right_child")):
            self.children[side][index], self.leaf_children[side][index] = self._add(structure[name])
        return index, 0


def rounded_down(threshold: float) -> float:
    """The largest FP32 number that is not above it."""
    with np.errstate(over="ignore"):  # beyond the largest of them
        nearest = np.float32(threshold)
        return float(nearest if nearest <= threshold else np.nextafter(nearest, np.float32(-np.inf)))


def converted(booster: lightgbm.Booster) -> onnx.ModelProto:
    """Input `features`, FP32 [n, columns]; output `probability`, FP32 [n, 1]. ValueError for what ONNX
    lacks.
    """
    dump = booster.dump_model()
    if not dump["objective"].startswith("binary sigmoid:1"):
        raise ValueError(f"objective {dump['objective']!r}; only 'binary sigmoid:1' is converted")
    nodes = Nodes()
    for tree in dump["tree_info"]:
        nodes.add_tree(tree["tree_structure"])

    def tensor(values: list[Any], kind: Any) -> onnx.TensorProto:
        return numpy_helper.from_array(np.array(values, kind))

    width = dump["max_feature_idx"] + 1
    members = {"membership_values": tensor(nodes.members, np.float32)} if nodes.members else {}
    node = helper.make_node(
        "TreeEnsemble",
        ["features"],
        ["sum"],
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function=1,  # the sum
        post_transform=0,  # ONNX Runtime leaves a single target as it is whatever this says
        tree_roots=nodes.roots,
        nodes_featureids=nodes.features,
        nodes_modes=tensor(nodes.modes, np.uint8),
        nodes_splits=tensor(nodes.splits, np.float32),
        nodes_truenodeids=nodes.children[0],
        nodes_falsenodeids=nodes.children[1],
        nodes_trueleafs=nodes.leaf_children[0],
        nodes_falseleafs=nodes.leaf_children[1],
        nodes_missing_value_tracks_true=nodes.missing_true,
        leaf_targetids=[0] * len(nodes.leaves),
        leaf_weights=tensor(nodes.leaves, np.float32),
        **members,
    )
    graph = helper.make_graph(
        [node, helper.make_node("Sigmoid", ["sum"], ["probability"])],
        "forest",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n", 1])],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 5)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)
