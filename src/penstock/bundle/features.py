"""A bundle's features: the fitted transforms as two files, and the program that feeds the model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import safetensors.numpy

from penstock import models
from penstock.bundle.examples import load_arrays
from penstock.bundle.verify import VerifiedBundle
from penstock.errors import BundleError, InputError, ModelError, TransformError
from penstock.models import MATRIX_KINDS, linear
from penstock.models.options import ModelOptions
from penstock.transforms import Features, Transform, cast_plan
from penstock.transforms.folding import fold
from penstock.transforms.plan import Plan
from penstock.transforms.scikit_learn import is_of_scikit_learn

if TYPE_CHECKING:
    from penstock._core import Executor

DOCUMENT_FILE = "transforms.json"
ARRAYS_FILE = "transforms.safetensors"


def fitted_features(
    features: Features | Sequence[Transform] | object | None, reference: object | None
) -> Features | None:
    """What the caller of build gave, fitted: a list of transforms that are not is fitted on the
    reference frame, and a fitted object of scikit-learn is converted.

    TransformError for what is not fitted when there is no such frame, and for a list of transforms that
    are fitted: only their Features know which columns they were fitted on.
    """
    if features is None:
        return None
    if is_of_scikit_learn(features):
        return Features.from_scikit_learn(features, reference)
    if not isinstance(features, Features):
        if not isinstance(features, Iterable):
            raise TransformError(
                f"features= is {features!r} ({type(features).__name__}); expected Features or a list of "
                f"transforms, or a fitted transformer of scikit-learn"
            )
        given = list(features)
        if any(getattr(transform, "fitted", False) for transform in given):
            raise TransformError(
                "features= is a list of fitted transforms; pass the Features object that they are of"
            )
        if reference is None:
            raise TransformError(
                "features= is a list of transforms that are not fitted; pass "
                "Features([...]).fit(train_frame), "
                "or the training frame as reference="
            )
        return Features(given).fit(reference)
    if not features.fitted:
        raise TransformError(
            "features= is not fitted; call its fit on the training frame before training the model"
        )
    return features


def empty_is_missing(features: Features | None) -> list[str]:
    """The text inputs for which an empty string on the wire stands for a missing one: those whose training
    knew no empty strings (ADR 7).
    """
    if features is None:
        return []
    return [column for column, strings in features.strings.items() if not strings.empty]


def refuse_ambiguous(features: Features) -> None:
    """InputError for a text input whose training knew missing and empty strings, which callers cannot tell
    apart.
    """
    for column, strings in features.strings.items():
        if strings.missing and strings.empty:
            raise InputError(
                f"The training column '{column}' had missing strings and empty ones. Callers send both as an "
                f"empty string, so the model could not tell them apart. Before fit, replace one of the two "
                f"in the training frame by a word of its own, such as 'none', and send that word in calls."
            )


def write_features(features: Features) -> dict[str, bytes]:
    """The two files by name; the same bytes for the same fitted transforms."""
    document = json.dumps(features.document(), sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return {
        DOCUMENT_FILE: document.encode() + b"\n",
        ARRAYS_FILE: safetensors.numpy.save(features.arrays()),
    }


def read_features(bundle: VerifiedBundle, *, allow_custom: bool = False) -> Features | None:
    """The fitted transforms of a bundle; None when it has none. `allow_custom`: as for Features.from_saved.

    BundleError or TransformError when unreadable.
    """
    named = bundle.manifest.transforms
    if named is None:
        return None
    try:
        document = json.loads(bundle.files[named.document].read())
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{named.document} is not valid JSON: {error}") from error
    try:
        arrays = load_arrays(bundle.files[named.arrays].read())
    except BundleError as error:
        raise BundleError(f"{named.arrays} {error}") from error
    return Features.from_saved(document, arrays, allow_custom=allow_custom)


def read_plan(bundle: VerifiedBundle) -> Plan | None:
    """The plan of a bundle whose files were kept; None where its model takes its own inputs.

    Runs nothing of it, no custom transform either.
    """
    manifest = bundle.manifest
    file = bundle.files[manifest.model.file].path
    columns = [(tensor.name, tensor.datatype) for tensor in manifest.inputs]
    model = manifest.model
    return assemble(model.kind, file, model.options, read_features(bundle), columns)[1]


def assemble(
    kind: str, path: str, options: ModelOptions, features: Features | None, inputs: Sequence[tuple[str, str]]
) -> tuple[Executor, Plan | None]:
    """The executor of a model's file, and the plan of what feeds it from a bundle's columns.

    Before a linear model, one-hot columns are folded into its coefficients. `options` are of the model's
    kind; `inputs` and errors as for plan_of.
    """
    model = linear.read(path) if kind == linear.KIND else None
    executor = models.load_executor(kind, path, options) if model is None else model.executor(options)
    plan = plan_of(kind, executor, features, inputs)
    if plan is None or model is None or plan.outputs[0].datatype != "FP64":
        return executor, plan
    folded, coefficients = fold(plan, model.coefficients)
    return (executor, plan) if folded is plan else (model.executor(options, coefficients), folded)


def passes_matrix(kind: str, executor: Executor, inputs: Sequence[tuple[str, str]]) -> bool:
    """Whether a matrix of all columns is the model's own: without features, and cast from FP64 to FP64."""
    return (
        kind in MATRIX_KINDS
        and executor.inputs[0][1] == "FP64"
        and all(datatype == "FP64" for _, datatype in inputs)
    )


def matrix_columns(kind: str, features: Features | None, inputs: Sequence[str]) -> tuple[str, ...]:
    """The columns of the model's matrix by name: the features, or the inputs where there are none. Of an ONNX
    model that takes its own inputs, none.
    """
    if features is not None:
        return tuple(features.output_names)
    return tuple(inputs) if kind in MATRIX_KINDS else ()


def plan_of(
    kind: str, executor: Executor, features: Features | None, inputs: Sequence[tuple[str, str]]
) -> Plan | None:
    """The plan from a bundle's columns (`inputs`: name and datatype) to its model's matrix.

    With features, theirs. Without, the columns of a model that is not ONNX are cast to the type of its
    matrix, and an ONNX model takes its own inputs (None). ModelError when the model does not take
    one matrix of the features' width.
    """
    if features is None and kind not in MATRIX_KINDS:
        return None
    if len(executor.inputs) != 1 or len(executor.inputs[0][2]) != 2:
        shapes = ", ".join(f"{name} {datatype} {list(shape)}" for name, datatype, shape in executor.inputs)
        raise ModelError(
            f"Features give one matrix, and the model takes {shapes}. It must take one [rows, columns]."
        )
    name, datatype, shape = executor.inputs[0]
    width = len(inputs) if features is None else len(features.output_names)
    if shape[1] not in (-1, width):
        raise ModelError(f"The features give {width} columns; the model's input '{name}' takes {shape[1]}.")
    if features is None:
        return cast_plan(inputs, output=name, dtype=datatype)
    return features.plan(output=name, dtype=datatype)
