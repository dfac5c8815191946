"""PolynomialFeatures and SplineTransformer: several columns of one or of some."""

from __future__ import annotations

from typing import Any

import numpy as np

from penstock.transforms.scikit_learn.converter import converts
from penstock.transforms.scikit_learn.draft import Draft, flat


@converts(
    "sklearn.preprocessing.PolynomialFeatures",
    becomes="Polynomial",
    parameters="degree include_bias interaction_only",
    without_effect="order",
)
def _polynomial(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    bias = []
    if fitted.include_bias:
        ((one,),) = draft.copies(["bias"], [columns[:1]])
        bias = flat(draft.add("clip", [one], parameters={"lower": 1.0, "upper": 1.0}))
    if fitted.n_output_features_ == len(bias):
        return bias
    parameters = {
        "degree": [int(fitted._min_degree), int(fitted._max_degree)],
        "interaction_only": bool(fitted.interaction_only),
    }
    return [*bias, *flat(draft.add("polynomial", columns, parameters=parameters))]


@converts(
    "sklearn.preprocessing.SplineTransformer",
    becomes="Spline",
    parameters="degree extrapolation handle_missing include_bias knots n_knots",
    without_effect="order sparse_output",
    refused="degree=0 with extrapolation='constant' or 'linear'; degree=1 with 'linear' on several columns",
)
def _spline(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    beyond, degree = fitted.extrapolation, int(fitted.degree)
    if (degree == 0 and beyond in ("constant", "linear")) or (
        degree == 1 and beyond == "linear" and len(columns) > 1
    ):
        # Its answers beyond the knots then depend on the output's format, or the column's place among others.
        raise draft.refusal(
            f"degree={degree} with extrapolation={beyond!r}", "Use a higher degree, or another extrapolation"
        )
    if fitted.n_features_out_ == 0:  # one spline and no bias
        return []
    knots = [spline.t for spline in fitted.bsplines_]
    parameters = {
        "knots": len(knots[0]) - 2 * degree,
        "degree": degree,
        "extrapolation": beyond,
        "include_bias": bool(fitted.include_bias),
        "missing": "zeros" if getattr(fitted, "handle_missing", "error") == "zeros" else "keep",
    }
    arrays = {"knots": np.concatenate(knots).astype(np.float64)}
    return flat(draft.add("spline", columns, parameters=parameters, arrays=arrays))
