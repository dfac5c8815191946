"""QuantileTransformer and PowerTransformer."""

from __future__ import annotations

from typing import Any

import numpy as np

from penstock.transforms.scikit_learn.converter import converts
from penstock.transforms.scikit_learn.draft import Draft, flat


@converts(
    "sklearn.preprocessing.QuantileTransformer",
    becomes="Quantile",
    parameters="ignore_implicit_zeros n_quantiles output_distribution",
    without_effect="copy random_state subsample",
    refused="ignore_implicit_zeros=True: rows are dense here",
)
def _quantile(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    if fitted.ignore_implicit_zeros:
        raise draft.refusal("ignore_implicit_zeros=True", "Rows are dense here: fit it without")
    draft.steps_at(columns)  # it jumps where a quantile is that of many values
    made = draft.add(
        "quantile",
        columns,
        parameters={"output": fitted.output_distribution, "quantiles": int(fitted.n_quantiles_)},
        arrays={"quantiles": np.ascontiguousarray(fitted.quantiles_.T, np.float64).ravel()},
    )
    return flat(made)


@converts(
    "sklearn.preprocessing.PowerTransformer",
    becomes="Power",
    parameters="method standardize",
    without_effect="copy",
)
def _power(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    arrays = {"lambda": np.array(fitted.lambdas_, np.float64)}
    if fitted.standardize:
        arrays |= {
            "mean": np.array(fitted._scaler.mean_, np.float64),
            "scale": np.array(fitted._scaler.scale_, np.float64),
        }
    parameters = {"method": fitted.method.replace("-", "_"), "standardize": bool(fitted.standardize)}
    return flat(draft.add("power", columns, parameters=parameters, arrays=arrays))
