"""KBinsDiscretizer and Binarizer."""

from __future__ import annotations

from typing import Any

import numpy as np

from penstock.transforms.scikit_learn.converter import converts
from penstock.transforms.scikit_learn.draft import Draft, flat


@converts(
    "sklearn.preprocessing.KBinsDiscretizer",
    becomes="Bucketize and, where it encodes, OneHot",
    parameters="dtype encode n_bins strategy",
    without_effect="quantile_method random_state subsample",
)
def _k_bins(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    draft.steps_at(columns)
    if fitted.dtype is not None and np.dtype(fitted.dtype) == np.float32:
        columns = flat(draft.add("cast", columns, parameters={"datatype": "FP32"}))
    edges = [np.array(each[1:-1], np.float64) for each in fitted.bin_edges_]
    indices = flat(
        draft.add(
            "bucketize",
            columns,
            parameters={"bins": max(2, *(len(each) + 1 for each in edges))},
            arrays={
                "edges": np.concatenate(edges),
                "offsets": np.cumsum([0, *map(len, edges)], dtype=np.int64),
            },
        )
    )
    if fitted.encode == "ordinal":
        return indices
    bins = [np.arange(count, dtype=np.float64) for count in fitted.n_bins_]
    return flat(
        draft.add(
            "one_hot",
            indices,
            learned={"missing": [False] * len(indices)},
            arrays={f"{index}.values": each for index, each in enumerate(bins)},
        )
    )


@converts(
    "sklearn.preprocessing.Binarizer",
    becomes="Binarize",
    parameters="threshold",
    without_effect="copy",
)
def _binarizer(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    draft.steps_at(columns)
    threshold = float(fitted.threshold)
    if all(draft.datatype(column) == "FP32" for column in columns):
        threshold = float(
            np.float32(threshold)
        )  # NumPy compares single precision with a number in single precision
    return flat(draft.add("binarize", columns, parameters={"threshold": threshold}))
