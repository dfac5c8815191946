"""The transforms of numbers, held against scikit-learn and NumPy."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st
from parity_cases import (
    Array,
    Case,
    bulk,
    bulk_floats,
    floats,
    integers,
    matrix,
    numbers,
    some_texts,
    some_values,
    texts,
)
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.metrics.pairwise import haversine_distances
from sklearn.preprocessing import (
    Binarizer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
)

from penstock import transforms as t
from penstock.transforms.apply import FUNCTIONS

FAR = 1e300  # beyond every finite value that is drawn for the columns that take it


def doubles(column: Any) -> Array:
    return np.asarray(column, np.float64)[:, None]


def scikit(make: Callable[[], Any], *, infinite: str = "same") -> Callable[[Array, Array], Array]:
    """The rows by a scikit-learn transformer; what it refuses, missing and infinite ones, as said.

    `infinite`: 'same' leaves an infinity as it is; 'far' makes of it what a very large number becomes. A
    missing value makes a row of missing ones.
    """

    def reference(train: Array, rows: Array) -> Array:
        known = np.clip(doubles(train), -FAR, FAR)
        given = doubles(rows)
        usable = np.where(np.isnan(given), known[~np.isnan(known)][0], given)
        if infinite == "far":
            usable = np.clip(usable, -FAR, FAR)
        finite = np.where(np.isinf(usable), 0.0, usable)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of constant columns and of bins that it joins
            made = np.asarray(make().fit(known[~np.isnan(known)][:, None]).transform(finite))
        made = np.where(np.isinf(usable), usable, made)
        return np.where(np.isnan(given), np.nan, made)

    return reference


def scaled(
    make: Callable[..., t.Transform], other: Callable[..., Any], *, far: bool, **both: Any
) -> list[Case]:
    """FP64, FP32 and integers through a scaler of one column."""
    reference = scikit(partial(other, **both), infinite="far" if far else "same")
    one = partial(make, "x", **both)
    shown = ", ".join(f"{name} {value}" for name, value in both.items())
    return [
        Case(f"FP64 {shown}", one, numbers(64), floats(64, wild=not far), reference),
        Case(f"FP32 {shown}", one, numbers(32), floats(32, wild=True), reference),
        Case(f"integers {shown}", one, integers(np.int16), integers(np.int16), reference),
    ]


def few_levels(scale: float = 1.0, dtype: Any = np.float64) -> st.SearchStrategy[Array]:
    """Many ties, so that quantiles coincide; missing values too."""
    levels = (scale * np.array([-3.0, -1.0, 0.0, 0.25, 0.5, 2.0, 7.0, np.nan])).astype(dtype)
    return some_values(bulk(lambda rng, rows: rng.choice(levels, rows), least=2))


def ranked(**parameters: Any) -> list[Case]:
    def reference(train: Array, rows: Array) -> Array:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of fewer rows than quantiles
            transformer = QuantileTransformer(
                n_quantiles=parameters["quantiles"],
                output_distribution=parameters.get("output", "uniform"),
                subsample=10**9,
            ).fit(doubles(train))
            far = FAR if rows.dtype == np.float64 else np.finfo(np.float32).max
            return np.asarray(transformer.transform(np.clip(rows, -far, far)[:, None]))

    def by_doubles(train: Array, rows: Array) -> Array:
        return reference(train, rows.astype(np.float64))

    made = partial(t.Quantile, "x", **parameters)
    shown = ", ".join(map(str, parameters.values()))
    cases = [
        Case(f"FP64 {shown}", made, numbers(64), floats(64, wild=True), reference),
        Case(f"ties {shown}", made, few_levels(), few_levels(), reference),
        Case(f"large ties {shown}", made, few_levels(1e12), few_levels(1e12), reference),
    ]
    if parameters.get("output") == "normal":
        # It rounds ranks to single precision, which is as much as 0.1 of a deviate near 0 and 1.
        ties = few_levels(dtype=np.float32)
        single = Case(f"FP32 {shown}", made, numbers(32), floats(32, wild=True), reference, atol=0.1)
        return [*cases, single, Case(f"FP32 ties {shown}", made, ties, ties, reference, rtol=1e-4, atol=1e-6)]
    return [*cases, Case(f"FP32 {shown}", made, numbers(32), floats(32, wild=True), by_doubles)]


def moderate() -> st.SearchStrategy[Array]:
    """Columns whose best power both sides find: continuous, of some spread, and of enough rows."""

    def make(rng: np.random.Generator, rows: int) -> Array:
        shape = rng.integers(0, 4)
        if shape == 0:
            made = rng.normal(rng.normal(0, 3), 1, rows)
        elif shape == 1:
            made = rng.lognormal(0, 0.7, rows)
        elif shape == 2:
            made = -rng.gamma(2.0, 2.0, rows)
        else:
            made = rng.uniform(-5, 50, rows)
        return np.where(rng.random(rows) < 0.1, np.nan, made)

    return some_values(bulk(make, least=20))


def powered(**parameters: Any) -> Callable[[Array, Array], Array]:
    def reference(train: Array, rows: Array) -> Array:
        known = doubles(train)
        given = np.clip(doubles(rows), -1e30, 1e30)
        return np.asarray(
            PowerTransformer(**parameters).fit(known[~np.isnan(known)][:, None]).transform(given)
        )

    return reference


def finite_floats(width: int = 64) -> st.SearchStrategy[Array]:
    return bulk(partial(bulk_floats, width=width, wild=False), least=2)


def bucketed(strategy: Any, bins: int) -> list[Case]:
    method = {"quantile_method": "linear"} if strategy == "quantile" else {}
    other = partial(KBinsDiscretizer, bins, encode="ordinal", strategy=strategy, subsample=None, **method)
    made = partial(t.Bucketize, "x", bins=bins, strategy=strategy)
    reference = scikit(other, infinite="far")
    return [
        Case(f"{strategy} {bins}", made, numbers(64), floats(64, wild=True), reference, exact=True),
        Case(f"{strategy} {bins} ties", made, few_levels(), few_levels(), reference, exact=True),
    ]


def digitized(edges: list[float]) -> Case:
    def reference(train: Array, rows: Array) -> Array:
        return np.where(np.isnan(doubles(rows)), np.nan, np.digitize(doubles(rows), edges))

    made = partial(t.Bucketize, "x", edges)
    return Case(
        f"edges {edges}", made, few_levels(), floats(64, wild=True) | few_levels(), reference, exact=True
    )


def by_numpy(function: Callable[[Array], Any]) -> Callable[[Array, Array], Array]:
    return lambda train, rows: np.asarray(function(doubles(rows)), np.float64)


def elementwise(
    make: Callable[[], t.Transform], function: Callable[[Array], Any], *, name: str = "", exact: bool = False
) -> list[Case]:
    """A transform that learns nothing, against NumPy on doubles."""
    reference = by_numpy(function)
    return [
        Case(
            f"{name} FP64".strip(), make, floats(64, wild=True), floats(64, wild=True), reference, exact=exact
        ),
        Case(
            f"{name} FP32".strip(), make, floats(32, wild=True), floats(32, wild=True), reference, exact=exact
        ),
        Case(f"{name} integers".strip(), make, integers(), integers(), reference, exact=exact),
    ]


def in_range(function: str) -> st.SearchStrategy[Array]:
    """Numbers of every magnitude, half of them where most functions have values; no huge angles."""

    def make(rng: np.random.Generator, rows: int) -> Array:
        wild = bulk_floats(rng, rows, width=64, wild=function not in ("sin", "cos", "tan"))
        return np.where(rng.random(rows) < 0.5, rng.uniform(-2, 2, rows), wild)

    return bulk(make)


def columns_of(names: str, column: Callable[[np.random.Generator, int], Array]) -> st.SearchStrategy[Any]:
    """Several columns of one length."""
    return bulk(lambda rng, rows: {name: column(rng, rows) for name in names.split()})


def wild_columns(names: str) -> st.SearchStrategy[Any]:
    return columns_of(names, partial(bulk_floats, width=64, wild=True))


def mixed_columns(rng: np.random.Generator, rows: int) -> dict[str, Array]:
    """FP64, FP32 and integers beside one another."""
    return {
        "x": bulk_floats(rng, rows, width=64, wild=True),
        "y": bulk_floats(rng, rows, width=32, wild=True),
        "z": rng.integers(-5, 6, rows),
    }


def stacked(frame: dict[str, Array]) -> Array:
    return np.column_stack([np.asarray(column, np.float64) for column in frame.values()])


def safe_ratio(frame: dict[str, Array]) -> Array:
    above, below = stacked(frame).T
    ratio = np.where(below == 0, np.where(np.isnan(above), np.nan, -1.5), above / below)
    return ratio[:, None]


def arithmetic(
    operation: Any, names: str, reference: Callable[[dict[str, Array]], Array], **more: Any
) -> Case:
    def zeros(rng: np.random.Generator, rows: int) -> Array:
        return np.where(rng.random(rows) < 0.2, 0.0, bulk_floats(rng, rows, width=64, wild=True))

    drawn = columns_of(names, zeros)
    make = partial(t.Arithmetic, names.split(), operation, **more)
    return Case(f"{operation} {more}", make, drawn, drawn, lambda train, rows: reference(rows), exact=True)


def places(rng: np.random.Generator, rows: int) -> dict[str, Array]:
    made = {
        "lat": rng.uniform(-90, 90, rows),
        "lon": rng.uniform(-180, 180, rows),
        "to_lat": rng.uniform(-90, 90, rows),
        "to_lon": rng.uniform(-180, 180, rows),
    }
    near = rng.random(rows) < 0.2
    made["to_lat"] = np.where(near, made["lat"] + rng.normal(0, 1e-3, rows), made["to_lat"])
    made["to_lon"] = np.where(near, made["lon"], made["to_lon"])
    made["lon"] = np.where(rng.random(rows) < 0.1, np.nan, made["lon"])
    return made


def haversine(train: Any, rows: dict[str, Array]) -> Array:
    points = np.radians(np.nan_to_num(stacked(rows)))
    made = np.diag(haversine_distances(points[:, :2], points[:, 2:])) * 6371.0087714
    return np.where(np.isnan(stacked(rows)).any(axis=1), np.nan, made)[:, None]


def tame_columns(rng: np.random.Generator, rows: int) -> dict[str, Array]:
    return {name: bulk_floats(rng, rows, width=64, wild=False) for name in ("x", "y", "z")}


def polynomial(degree: Any, **parameters: Any) -> Case:
    def reference(train: Any, rows: dict[str, Array]) -> Array:
        features = PolynomialFeatures(degree, **{"include_bias": False, **parameters})
        filled = np.nan_to_num(stacked(rows), nan=1.0)
        made = np.asarray(features.fit_transform(filled))
        missing = np.isnan(stacked(rows)).astype(int) @ (features.powers_.T > 0)
        return np.where(missing > 0, np.nan, made)

    make = partial(t.Polynomial, ["x", "y", "z"], degree, **parameters)
    drawn = bulk(tame_columns)
    return Case(f"degree {degree} {parameters}", make, drawn, drawn, reference, exact=True)


def chosen_powers() -> Case:
    powers = [[0, 0, 0], [2, 0, 1], [0, 3, 0]]

    def reference(train: Any, rows: dict[str, Array]) -> Array:
        return np.column_stack([np.prod(stacked(rows) ** term, axis=1) for term in powers])

    def drawn_column(rng: np.random.Generator, rows: int) -> Array:
        odd = rng.choice([np.nan, np.inf, -np.inf, 0.0], rows)
        return np.where(rng.random(rows) < 0.1, odd, rng.normal(0, 5, rows))

    drawn = columns_of("x y z", drawn_column)
    return Case("powers", partial(t.Polynomial, ["x", "y", "z"], powers=powers), drawn, drawn, reference)


def normalized(norm: Any) -> Case:
    def reference(train: Any, rows: dict[str, Array]) -> Array:
        missing = np.isnan(stacked(rows)).any(axis=1)
        made = np.asarray(Normalizer(norm).transform(np.nan_to_num(stacked(rows))))
        return np.where(missing[:, None], np.nan, made)

    def zeros(rng: np.random.Generator, rows: int) -> dict[str, Array]:
        nothing = rng.random(rows) < 0.1
        made = {name: np.where(nothing, 0.0, column) for name, column in tame_columns(rng, rows).items()}
        return {**made, "n": np.where(nothing, 0, rng.integers(-9, 9, rows))}

    drawn = bulk(zeros)
    return Case(norm, partial(t.Normalize, ["x", "y", "z", "n"], norm), drawn, drawn, reference)


def hardly_normalized(norm: Any, dtype: Any, other: Any) -> Case:
    """Rows around the norm that counts as none."""

    def small(rng: np.random.Generator, rows: int) -> dict[str, Array]:
        size = 10.0 ** rng.uniform(-18, -4, rows)
        made = size[:, None] * rng.normal(0, 1, (rows, 3))
        return {"x": made[:, 0].astype(dtype), "y": made[:, 1].astype(dtype), "z": made[:, 2].astype(other)}

    def reference(train: Any, rows: dict[str, Array]) -> Array:
        return np.asarray(Normalizer(norm).transform(np.column_stack(list(rows.values()))))

    drawn = bulk(small)
    shown = f"{norm} small {np.dtype(dtype).name} {np.dtype(other).name}"
    rtol = 1e-12 if other is np.float64 else 1e-6
    return Case(shown, partial(t.Normalize, ["x", "y", "z"], norm), drawn, drawn, reference, rtol=rtol)


def splines(
    knots: Any,
    degree: int,
    extrapolation: Any,
    *,
    dtype: Any = np.float64,
    tied: bool = False,
    **parameters: Any,
) -> Case:
    def reference(train: Array, rows: Array) -> Array:
        known = doubles(train)
        given = doubles(rows)
        positions = {"knots": parameters.get("strategy", "uniform"), "n_knots": knots}
        if not isinstance(knots, int):
            positions = {"knots": np.array(knots)[:, None]}
        transformer = SplineTransformer(
            degree=degree,
            extrapolation=extrapolation,
            include_bias=parameters.get("include_bias", True),
            handle_missing="zeros",
            **positions,
        ).fit(known)
        made = np.asarray(transformer.transform(given))
        zeros = parameters.get("missing") == "zeros"
        return made if zeros else np.where(np.isnan(given), np.nan, made)

    def spread(rng: np.random.Generator, rows: int) -> Array:
        made = rng.normal(0, 4, rows)
        return np.where(rng.random(rows) < 0.1, np.nan, made)

    def wider(rng: np.random.Generator, rows: int) -> Array:
        return (2 * spread(rng, rows)).astype(dtype)

    def inflated(rng: np.random.Generator, rows: int) -> Array:
        """Many values that are the least or the greatest."""
        return np.clip(spread(rng, rows), *rng.choice([-9, -1, 0, 1, 9], 2, replace=False)).astype(dtype)

    make = partial(t.Spline, "x", knots, degree, extrapolation=extrapolation, **parameters)
    drawn = inflated if tied else lambda rng, rows: spread(rng, rows).astype(dtype)
    train = some_values(bulk(drawn, least=4))
    shown = f"{knots} {degree} {extrapolation} {parameters} {np.dtype(dtype).name}{' tied' * tied}"
    return Case(shown, make, train, bulk(wider), reference, rtol=1e-9)


def cast(datatype: str, source: str) -> Case:
    """Numbers that the datatype holds, of the source's type, with a fraction where it has one."""
    target, dtype = (np.dtype(name.lower().replace("fp", "float")) for name in (datatype, source))

    def drawn(rng: np.random.Generator, rows: int) -> Array:
        if target.kind == "f":
            return bulk_floats(rng, rows, width=64, wild=True)
        bounds = [np.iinfo(each) for each in (target, dtype) if each.kind in "iu"]
        low, high = max(each.min for each in bounds), min(each.max for each in bounds)
        whole = rng.integers(low, high, rows, dtype=target, endpoint=True)
        if dtype.kind in "iu":
            return whole.astype(dtype)
        made = np.trunc(whole / 2.0)
        return made + np.where(made < 0, -0.75, 0.75)

    columns = bulk(drawn)
    return Case(
        f"{source} to {datatype}",
        partial(t.Cast, "x", datatype),
        columns,
        columns,
        lambda train, rows: doubles(rows.astype(target)),
        exact=True,
    )


def minus_999(strategy: str, indicator: bool) -> Case:
    """A number that means missing, in floating point and in integers."""

    def drawn(rng: np.random.Generator, rows: int) -> Array:
        made = rng.integers(-5, 6, rows)
        made = np.where(rng.random(rows) < 0.3, -999, made)
        made[0] = 3
        return made if rng.random() < 0.5 else made.astype(np.float32)

    def reference(train: Array, rows: Array) -> Array:
        imputer = SimpleImputer(missing_values=-999, strategy=strategy, add_indicator=indicator)
        return np.asarray(imputer.fit(doubles(train)).transform(doubles(rows)))

    make = partial(t.Impute, "x", strategy, missing_value=-999, indicator=indicator)
    return Case(f"-999 {strategy}, indicator {indicator}", make, bulk(drawn), bulk(drawn), reference)


def word_impute() -> Case:
    """A text that means missing; a OneHot shows what was filled in."""

    def reference(train: list[str], rows: list[str]) -> Array:
        imputer = SimpleImputer(missing_values="UA", strategy="most_frequent", add_indicator=False)
        fit = imputer.fit(matrix(train))
        known = sorted(set(fit.transform(matrix(train))[:, 0].tolist()), key=str.encode)
        filled = fit.transform(matrix(rows))
        flags = np.array([[float(row == "UA")] for row in rows])
        return np.hstack([(filled == np.array(known, object)[None, :]).astype(float), flags])

    present = texts(missing=False).filter(lambda column: any(value != "UA" for value in column))
    make = partial(t.Impute, "x", "most_frequent", missing_value="UA", indicator="all")
    return Case(
        "a word",
        make,
        present,
        texts(missing=False),
        reference,
        exact=True,
        then=lambda: [t.OneHot("x")],
    )


def indicated(**parameters: Any) -> list[Case]:
    def flags(train: Any, rows: Any) -> Array:
        finite = np.clip(doubles(rows), -FAR, FAR)
        return np.asarray(MissingIndicator(features="all").fit_transform(finite), np.float64)

    def text_flags(train: Any, rows: Any) -> Array:
        word = parameters.get("missing_value")
        return np.array([[float(row is None or row == word)] for row in rows])

    make = partial(t.MissingIndicator, "x", features="all", **parameters)
    cases = [Case(f"text {parameters}", make, some_texts(), texts(missing=True), text_flags, exact=True)]
    if not parameters:
        cases.append(Case("FP64", make, floats(64, wild=True), floats(64, wild=True), flags, exact=True))
        cases.append(Case("integers", make, integers(), integers(), flags, exact=True))
    return cases


def flagged_at_fit() -> Case:
    """Two columns, of which only one has missing values at fit."""

    def drawn(rng: np.random.Generator, rows: int) -> dict[str, Array]:
        made = {"x": rng.normal(0, 1, rows), "y": rng.normal(0, 1, rows)}
        made["y"][rng.random(rows) < 0.5] = np.nan
        made["y"][0] = np.nan
        return made

    def reference(train: Any, rows: Any) -> Array:
        return np.asarray(MissingIndicator().fit(stacked(train)).transform(stacked(rows)), np.float64)

    make = partial(t.MissingIndicator, ["x", "y"], new="error")
    return Case("missing only", make, bulk(drawn), bulk(drawn), reference, exact=True)


PARITY: dict[str, list[Case]] = {
    "impute": [
        *(minus_999(strategy, True) for strategy in ("mean", "median", "most_frequent")),
        minus_999("mean", False),
        word_impute(),
    ],
    "missing_indicator": [*indicated(), *indicated(missing_value="UA"), flagged_at_fit()],
    "min_max": [
        *scaled(t.MinMax, MinMaxScaler, far=False),
        *scaled(t.MinMax, MinMaxScaler, far=True, feature_range=(-2, 3), clip=True),
    ],
    "max_abs": [
        *scaled(t.MaxAbs, MaxAbsScaler, far=False),
        *scaled(t.MaxAbs, MaxAbsScaler, far=True, clip=True),
    ],
    "robust": [
        *scaled(t.Robust, RobustScaler, far=False),
        *scaled(t.Robust, RobustScaler, far=False, unit_variance=True, quantile_range=(10.0, 80.0)),
        *scaled(t.Robust, RobustScaler, far=False, with_centering=False),
        *scaled(t.Robust, RobustScaler, far=False, with_scaling=False),
    ],
    "quantile": [
        *ranked(quantiles=1000),
        *ranked(quantiles=7),
        *ranked(quantiles=1),
        *ranked(output="normal", quantiles=100),
    ],
    "power": [
        # Of unit variance: where a result is near 0, what the two searches leave open of lambda shows in it.
        Case("FP64", lambda: t.Power("x"), moderate(), finite_floats(), powered(), rtol=1e-6, atol=1e-6),
        Case(
            "not standardized",
            lambda: t.Power("x", standardize=False),
            moderate(),
            finite_floats(32),
            powered(standardize=False),
            rtol=1e-6,
        ),
    ],
    "clip": [
        *elementwise(lambda: t.Clip("x", -1, 2.5), lambda x: np.clip(x, -1, 2.5), name="both", exact=True),
        *elementwise(lambda: t.Clip("x", upper=0), lambda x: np.clip(x, None, 0), name="upper", exact=True),
    ],
    "bucketize": [
        *bucketed("quantile", 5),
        *bucketed("quantile", 40),
        *bucketed("uniform", 3),
        digitized([-1.0, 0.0, 0.25, 10.0]),
        digitized([]),
        digitized([0.5, 0.5]),
    ],
    "binarize": [
        Case(
            str(threshold),
            partial(t.Binarize, "x", threshold),
            numbers(64) | few_levels(),
            floats(64, wild=True) | few_levels(),
            scikit(partial(Binarizer, threshold=threshold), infinite="far"),
            exact=True,
        )
        for threshold in (0.0, 0.25)
    ],
    "apply": [
        *(
            Case(
                name, partial(t.Apply, "x", name), in_range(name), in_range(name), by_numpy(getattr(np, name))
            )
            for name in {id(function): name for name, function in FUNCTIONS.items()}.values()
        ),
        *elementwise(lambda: t.Apply("x", "square"), np.square, name="square", exact=True),
        *elementwise(lambda: t.Apply("x", "cbrt"), np.cbrt, name="cbrt"),
    ],
    "arithmetic": [
        arithmetic("difference", "x y", lambda frame: (frame["x"] - frame["y"])[:, None]),
        arithmetic("ratio", "x y", safe_ratio, zero=-1.5),
        arithmetic("sum", "x y z", lambda frame: (frame["x"] + frame["y"] + frame["z"])[:, None]),
        arithmetic("product", "x y z", lambda frame: (frame["x"] * frame["y"] * frame["z"])[:, None]),
        arithmetic(
            "difference",
            "x y",
            lambda frame: np.column_stack([frame["x"], frame["x"] - frame["y"], frame["y"]]),
            keep=True,
        ),
    ],
    "haversine": [
        Case(
            "km",
            lambda: t.Haversine(["lat", "lon", "to_lat", "to_lon"]),
            bulk(places),
            bulk(places),
            haversine,
        )
    ],
    "polynomial": [
        polynomial(2),
        polynomial(3, include_bias=True),
        polynomial((2, 4)),
        polynomial(3, interaction_only=True),
        polynomial((0, 1), include_bias=True),
        chosen_powers(),
    ],
    "normalize": [
        *(normalized(norm) for norm in ("l1", "l2", "max")),
        *(hardly_normalized(norm, np.float64, np.float64) for norm in ("l1", "l2", "max")),
        hardly_normalized("l2", np.float32, np.float32),
        hardly_normalized("max", np.float32, np.float64),
    ],
    "spline": [
        splines(5, 3, "constant"),
        splines(4, 2, "linear", include_bias=False),
        splines(2, 1, "linear"),
        splines(3, 0, "linear"),
        splines(6, 3, "continue", strategy="quantile"),
        splines(4, 3, "periodic", missing="zeros"),
        splines(7, 2, "periodic", strategy="quantile"),
        splines([-100.0, -2.0, 0.5, 1.0, 100.0], 3, "error", missing="zeros"),
        splines([-1.0, 0.0, 5.0], 5, "linear"),
        splines(5, 3, "constant", dtype=np.float32),
        *(
            splines(6, degree, extrapolation, tied=True, strategy="quantile")
            for degree in (1, 2, 3)
            for extrapolation in ("constant", "linear")
        ),
    ],
    "cast": [
        *(
            cast(name, "FP64")
            for name in ("FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT64")
        ),
        *(cast(name, "INT64") for name in ("INT8", "INT32", "INT64", "UINT16", "UINT64")),
        *(cast(name, "UINT64") for name in ("INT16", "INT64", "UINT32", "UINT64")),
        cast("INT16", "INT8"),
    ],
}
