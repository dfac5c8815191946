"""Every estimator that is served as a linear model, fitted on small data, and what it answers itself."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from sklearn import linear_model as lm

Matrix = np.ndarray[Any, Any]
WIDTH = 11


class Case(NamedTuple):
    """An estimator, and the target of `targets` that it is fitted to."""

    make: Callable[[], Any]
    target: str
    link: str


CASES = {
    "logistic regression, two classes": Case(lm.LogisticRegression, "two", "logistic"),
    "logistic regression, words": Case(lm.LogisticRegression, "words", "softmax"),
    "logistic regression, liblinear": Case(
        lambda: lm.LogisticRegression(solver="liblinear"), "two", "logistic"
    ),
    "logistic regression, no intercept": Case(
        lambda: lm.LogisticRegression(fit_intercept=False), "words", "softmax"
    ),
    "logistic regression, cross-validated": Case(
        lambda: lm.LogisticRegressionCV(Cs=2, cv=2), "words", "softmax"
    ),
    "gradient descent, two classes": Case(
        lambda: lm.SGDClassifier(loss="log_loss", random_state=1), "two", "logistic"
    ),
    "gradient descent, words": Case(
        lambda: lm.SGDClassifier(loss="log_loss", random_state=1, average=True), "words", "one_versus_rest"
    ),
    "least squares": Case(lm.LinearRegression, "number", "identity"),
    "least squares, no intercept": Case(
        lambda: lm.LinearRegression(fit_intercept=False), "numbers", "identity"
    ),
    "least squares, positive": Case(lambda: lm.LinearRegression(positive=True), "number", "identity"),
    "ridge": Case(lm.Ridge, "number", "identity"),
    "ridge, two targets": Case(lm.Ridge, "numbers", "identity"),
    "ridge, cross-validated": Case(lm.RidgeCV, "number", "identity"),
    "lasso": Case(lambda: lm.Lasso(0.01), "number", "identity"),
    "lasso, one target as a column": Case(lambda: lm.Lasso(0.01), "column", "identity"),
    "lasso, cross-validated": Case(lambda: lm.LassoCV(cv=2), "number", "identity"),
    "elastic net": Case(lambda: lm.ElasticNet(0.01), "numbers", "identity"),
    "elastic net, cross-validated": Case(lambda: lm.ElasticNetCV(cv=2), "number", "identity"),
    "gradient descent": Case(lambda: lm.SGDRegressor(random_state=1), "number", "identity"),
    "poisson": Case(lm.PoissonRegressor, "positive", "log"),
    "gamma": Case(lm.GammaRegressor, "positive", "log"),
    "tweedie": Case(lambda: lm.TweedieRegressor(power=1.5), "positive", "log"),
    "tweedie, normal": Case(lm.TweedieRegressor, "number", "identity"),
    "tweedie, log link": Case(lambda: lm.TweedieRegressor(link="log"), "positive", "log"),
}


def matrix(rows: int = 200, seed: int = 0) -> Matrix:
    return np.random.default_rng(seed).normal(size=(rows, WIDTH)) * np.linspace(0.1, 3, WIDTH)


def targets(x: Matrix) -> dict[str, Matrix]:
    weights = np.linspace(-1, 1, WIDTH)
    number = x @ weights + np.random.default_rng(1).normal(size=len(x))
    return {
        "two": (number > 0).astype(np.int64),
        "words": np.array(["no", "perhaps", "sí"])[np.digitize(number, [-1.0, 1.0])],
        "number": number,
        "column": number[:, None],
        "numbers": np.column_stack([number, number**2]),
        "positive": np.exp(number / 5),
    }


def fit(case: Case, x: Matrix) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence, and of defaults to come
        return case.make().fit(x, targets(np.asarray(x))[case.target])


@cache
def fitted(name: str) -> Any:
    return fit(CASES[name], matrix())


def answers(estimator: Any, x: Matrix) -> Matrix:
    """In the form of a bundle's `prediction`."""
    with np.errstate(over="ignore"):
        if not hasattr(estimator, "classes_"):
            predicted = np.asarray(estimator.predict(x))
            return predicted[:, 0] if predicted.shape[1:] == (1,) else predicted
        predicted = np.asarray(estimator.predict_proba(x))
        return predicted[:, 1] if len(estimator.classes_) == 2 else predicted
