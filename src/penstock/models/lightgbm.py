"""LightGBM models: a Booster, a scikit-learn style estimator of lightgbm, or a text file that
save_model wrote.

The text format is LightGBM's own (`GBDT::SaveModelToString`): a header of `key=value` lines up to the
first empty line, then the trees, the training parameters, and one line `pandas_categorical:` that its
Python package appends.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import Field

from penstock.errors import ModelError, StatusError
from penstock.models.forest_facts import ForestFacts
from penstock.models.libraries import lightgbm_library, refusal
from penstock.models.options import ModelOptions
from penstock.models.prepared import PreparedModel

if TYPE_CHECKING:
    from penstock._core import Executor

KIND = "lightgbm"
FILE = "model.txt"
OUTPUT = "prediction"
INPUT = "features"  # the executor's name for the matrix
_MAGIC = b"tree"
_PANDAS = b"\npandas_categorical:"
_LEAVES = re.compile(rb"^num_leaves=(\d{1,9})\r?$", re.MULTILINE)  # of each tree


class Options(ModelOptions):
    """What Booster.predict would be called with, and what runs the model; the defaults are its own."""

    start_iteration: int = Field(default=0, ge=0, lt=2**31)
    num_iterations: int = Field(default=-1, ge=-1, lt=2**31)  # -1: all that the file holds
    raw_score: bool = False
    # "forest": compiled at load; "library": LightGBM's own. "auto": compiled, and the library for what is not
    # (linear trees).
    engine: Literal["auto", "forest", "library"] = "auto"


def recognizes(content: bytes) -> bool:
    """Whether these bytes look like a LightGBM text model."""
    return content[:5].rstrip(b"\r\n") == _MAGIC


def prepare(model: object, options: dict[str, Any]) -> PreparedModel | None:
    """None when `model` is nothing of lightgbm's. ModelError when it is, but cannot be served."""
    if _is_lightgbm(model, "LGBMModel"):
        estimator = cast(Any, model)
        if not hasattr(estimator, "fitted_") or not estimator.fitted_:
            raise ModelError(f"The {type(model).__name__} is not fitted. Call fit before penstock.build.")
        model = estimator.booster_
    if not _is_lightgbm(model, "Booster"):
        return None
    booster = cast(Any, model)
    # As Booster.predict does: the best iteration of early stopping counts, unless predict starts at a
    # later one.
    if booster.best_iteration > 0 and not options.get("start_iteration"):
        options = {"num_iterations": int(booster.best_iteration), **options}
    text = booster.model_to_string(num_iteration=-1)
    return prepare_file(text.encode(), "the Booster", options)


def prepare_file(content: bytes, source: str, options: dict[str, Any]) -> PreparedModel:
    """A text model. ModelError when it is cut short or was trained on pandas categoricals."""
    header = _header(content, source)
    names = tuple(header["feature_names"].split(" "))
    width = int(header["max_feature_idx"]) + 1
    if len(names) != width:
        raise ModelError(
            f"{source} names {len(names)} features but says that it has {width}: the file is damaged."
        )
    _refuse_pandas_categorical(content, source)
    return PreparedModel(
        kind=KIND,
        file=FILE,
        content=content,
        options=Options.of(options, "LightGBM"),
        feature_names=names,
        named=names != tuple(f"Column_{i}" for i in range(width)),
    )


def load(path: str, options: ModelOptions) -> Executor:
    """Compiles the text file, or loads it with LightGBM's C library: see `Options.engine`."""
    from penstock._core import Executor

    assert isinstance(options, Options)
    try:
        return Executor.lightgbm(
            path,
            library=_library(options),
            engine=options.engine,
            start_iteration=options.start_iteration,
            num_iterations=options.num_iterations,
            raw_score=options.raw_score,
        )
    except StatusError as error:
        raise refusal("LightGBM", error, path, FILE) from error


def facts(content: bytes, options: ModelOptions) -> ForestFacts:
    """What the text file says of its trees. ModelError where it is damaged."""
    assert isinstance(options, Options)
    header = _header(content, FILE)
    try:
        outputs = max(1, int(header.get("num_class", "1")))
    except ValueError as error:
        raise ModelError(f"{FILE} is damaged: num_class is {header['num_class']!r}.") from error
    leaves = [int(found) for found in _LEAVES.findall(content)]
    first = options.start_iteration * outputs
    last = first + options.num_iterations * outputs if options.num_iterations > 0 else len(leaves)
    counted = leaves[first:last]
    return ForestFacts(
        origin="LightGBM",
        objective=header.get("objective", "none"),
        link="identity" if options.raw_score else "of the objective",
        trees=len(counted),
        leaves=max(counted, default=0),
        features=int(header["max_feature_idx"]) + 1,
        outputs=outputs,
    )


def _library(options: Options) -> str:
    """Empty where it is not installed and may not be needed."""
    if options.engine == "library":
        return lightgbm_library()
    try:
        return lightgbm_library()
    except ModelError:
        return ""


def _header(content: bytes, source: str) -> dict[str, str]:
    end = content.find(b"\nTree=")
    header: dict[str, str] = {}
    try:
        lines = content[: end if end >= 0 else None].decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ModelError(f"{source} is no LightGBM text model: byte {error.start} is not UTF-8.") from error
    for line in lines:
        key, _, value = line.partition("=")
        header[key] = value
    missing = [key for key in ("feature_names", "max_feature_idx") if key not in header]
    if missing or not header["max_feature_idx"].isdigit():
        raise ModelError(
            f"{source} is no complete LightGBM text model: its header has no usable {missing or 'size'}."
        )
    if b"\nend of trees" not in content:
        raise ModelError(
            f"{source} is cut short: it has no line 'end of trees'. Write it again with save_model."
        )
    return header


def _refuse_pandas_categorical(content: bytes, source: str) -> None:
    at = content.rfind(_PANDAS)
    if at < 0:
        return
    value = content[at + len(_PANDAS) :].split(b"\n", 1)[0].strip()
    if value not in (b"", b"null", b"[]"):
        shown = value[:60].decode("utf-8", "replace")
        raise ModelError(
            f"{source} was trained on pandas categorical columns ({shown}...): it expects pandas' codes, "
            f"which callers do not have. Train it on the columns that penstock.transforms.Ordinal gives, "
            f"name them in categorical_feature=, and pass the transforms as features=."
        )


def _is_lightgbm(model: object, name: str) -> bool:
    return any(
        base.__name__ == name and base.__module__.split(".")[0] == "lightgbm" for base in type(model).__mro__
    )
