"""Contributions: the output that says how much each feature moved each prediction, and its columns' names.

For each of the model's outputs it has one column for each column of the model's matrix, and one more: the
mean of the raw score over the training rows. Together they add up to the row's raw score. The values are
those of TreeSHAP; see ext/executor/forest_contributions.h.
"""

from __future__ import annotations

from collections.abc import Sequence

OUTPUT = "contributions"


def column_names(features: Sequence[str], width: int) -> list[str]:
    """Names for the `width` columns of a model whose matrix has the columns `features`.

    `contributions_of_<feature>` and last `contributions_mean`; where the model has several outputs,
    `contributions_0_of_<feature>` and so on.
    """
    names = [*(f"of_{feature}" for feature in features), "mean"]
    outputs = width // len(names)
    return [
        f"{OUTPUT}_{name}" if outputs == 1 else f"{OUTPUT}_{output}_{name}"
        for output in range(outputs)
        for name in names
    ]
