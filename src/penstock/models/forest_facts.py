"""ForestFacts: what a forest of decision trees is, for people who look at a bundle or at a server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ForestFacts:
    """Of the trees that count: without those that early stopping or the options leave out."""

    origin: str  # the library that grew them: "LightGBM", "XGBoost", "scikit-learn"
    objective: str  # what it was trained for, or the class that was fitted
    link: str  # from sums to predictions: as in ext/executor/forest.h, or "of the objective"
    trees: int
    leaves: int  # of the largest tree
    features: int
    outputs: int
