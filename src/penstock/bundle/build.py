"""Building a bundle: from a model in memory to `repository/name/version`, whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from penstock import models
from penstock.bundle.arrays import arrays_of, infer_datatypes, to_wire
from penstock.bundle.examples import DTYPES, Arrays, rows_of, write_examples
from penstock.bundle.features import (
    ARRAYS_FILE,
    DOCUMENT_FILE,
    assemble,
    empty_is_missing,
    fitted_features,
    passes_matrix,
    refuse_ambiguous,
    write_features,
)
from penstock.bundle.golden import batch_size, run_batches
from penstock.bundle.lineage import lineage_of
from penstock.bundle.loading import make_version, open_bundle
from penstock.bundle.manifest import (
    FILE,
    FileEntry,
    Golden,
    Input,
    Manifest,
    Tensor,
    Tolerance,
    Transforms,
    check_name,
    format_time,
    parse_time,
)
from penstock.bundle.oracle import oracle_of
from penstock.bundle.placing import partial_folder, place, sync_folder, version_exists
from penstock.bundle.scikit_learn import compare_features, taken_apart
from penstock.bundle.verify import Progress
from penstock.config import Scheduling
from penstock.errors import BundleError, InputError, ModelError
from penstock.models import PreparedModel, forest, lightgbm, linear, onnx
from penstock.models.options import describe_validation
from penstock.transforms.scikit_learn import is_of_scikit_learn

if TYPE_CHECKING:
    from penstock._core import Version
    from penstock.transforms import Features, Transform

GOLDEN_FILE = "golden.safetensors"
# Absolute and relative, of what two runs of one model may differ by. Trees and linear models add the same
# numbers in the same order everywhere (scikit-learn in another one); ONNX Runtime mostly computes in single
# precision, in an order that depends on the machine and batch.
_TOLERANCE = {lightgbm.KIND: 1e-9, forest.KIND: 1e-9, linear.KIND: 1e-9, onnx.KIND: 1e-4}


@dataclass(frozen=True)
class Bundle:
    """A bundle that was built."""

    path: Path
    name: str
    version: str
    digest: str  # SHA-256 of its bundle.json: the version's identity


def build(
    repository: str | os.PathLike[str],
    *,
    name: str,
    version: str,
    model: object,
    features: Features | Sequence[Transform] | object | None = None,
    inputs: Mapping[str, str] | None = None,
    reference: object | None = None,
    examples: object | None = None,
    lineage: Mapping[str, Any] | None = None,
    max_rows: int = 0,
    scheduling: Scheduling | Mapping[str, Any] | None = None,
    tolerance: float | None = None,
    model_options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    created: str | datetime | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Writes `repository/name/version` and returns it. It appears when it is complete, verified and has run.

    - `model`: a LightGBM Booster, estimator or text file; an XGBoost Booster, estimator or file (JSON or
      UBJSON); a fitted forest or linear estimator of scikit-learn; an ONNX file, its bytes or a ModelProto;
      or a fitted Pipeline that ends with one of these estimators and brings its features along.
    - `features`: fitted Features, a list of transforms to fit on `reference` now, or a fitted transformer
      of scikit-learn, converted as by Features.from_scikit_learn. Without them the feature names of a
      LightGBM model, a forest or a linear model are the columns, FP64 unless `inputs` (name to datatype)
      or the columns of `reference` say otherwise; an ONNX model keeps its own inputs.
    - `reference`: the training frame; its digest is the lineage's, unless that has its own `training_data`.
    - `examples`: rows to record and to compare at every load, within `tolerance` (absolute plus
      relative; by default 1e-4 for ONNX, else 1e-9). With a LightGBM model, a forest, a linear estimator
      or features, their answers must first be those of the model's own library.
    - `lineage`: see `lineage_of`.
    - `scheduling`: where its requests run and whether they share runs: the keys of
      `[models.<name>.scheduling]` in a server's settings, which win over these.
    - `max_rows`: of one request; 0 is no limit. `model_options`: see `Options` of the model's kind.
    - `created`: a time, or its text as in 2026-01-31T12:00:00Z; else SOURCE_DATE_EPOCH, else now. With
      it fixed, the same inputs give the same digest.

    Raises BundleError, ModelError, TransformError or InputError; nothing is left behind then.
    """
    _check_types(repository, name=name, version=version, max_rows=max_rows, tolerance=tolerance)
    schedule = _scheduling(scheduling)
    for what, table in (("inputs", inputs), ("lineage", lineage), ("model_options", model_options)):
        if table is not None and not isinstance(table, Mapping):
            raise BundleError(f"{what} is {_shown(table)}; expected a mapping, such as a dict.")
    check_name(name, "model name")
    check_name(version, "version")
    root = Path(repository)
    if not overwrite and (root / name / version).exists():
        raise version_exists(root / name / version)
    if max_rows < 0:
        raise BundleError(f"max_rows is {max_rows}; expected 0 (no limit) or a number of rows.")
    tell = progress or (lambda _: None)
    written = _created(created)
    model, features = taken_apart(model, features)
    prepared = models.prepare(model, model_options)
    allowed = _tolerance(tolerance, prepared.kind)
    fitted = fitted_features(features, reference)
    if fitted is not None:
        refuse_ambiguous(fitted)
    missing = empty_is_missing(fitted)
    columns = _columns(prepared, fitted, inputs, reference)
    with partial_folder(root) as folder:
        files = _Files(folder)
        files.write(prepared.file, prepared.content)
        if fitted is not None:
            for file, content in write_features(fitted).items():
                files.write(file, content)
        tell(f"{name}/{version}: loading the model")
        core = _assemble(name, version, folder, prepared, fitted, columns, missing, max_rows)
        manifest = Manifest.model_validate(
            {
                "name": name,
                "version": version,
                "created": written,
                "model": {"kind": prepared.kind, "file": prepared.file, "options": prepared.options},
                "inputs": tuple(
                    Input(name=n, datatype=d, shape=tuple(s), empty_is_missing=n in missing)  # type: ignore[arg-type]
                    for n, d, s in core.inputs
                ),
                "outputs": tuple(
                    Tensor(name=n, datatype=d, shape=tuple(s))  # type: ignore[arg-type]
                    for n, d, s in core.outputs
                ),
                "transforms": fitted and Transforms(document=DOCUMENT_FILE, arrays=ARRAYS_FILE),
                "max_rows": max_rows,
                "scheduling": schedule,
                "golden": None,
                "lineage": lineage_of(lineage, reference=reference, library=_library(prepared)),
                "files": files.entries,
            }
        )
        if examples is not None:
            tell(f"{name}/{version}: recording the examples")
            if fitted is not None and is_of_scikit_learn(features):
                compare_features(features, fitted, examples)
            golden = _record(core, manifest, prepared, fitted, examples, files, allowed)
            manifest = manifest.model_copy(update={"golden": golden, "files": files.entries})
        files.write(FILE, manifest.to_bytes())
        sync_folder(folder)
        # What is custom in it has run already: it was fitted here.
        digest = open_bundle(folder, allow_custom=True, progress=progress).digest
        path = place(folder, root, name, version, overwrite=overwrite)
    return Bundle(path, name, version, digest)


def _library(model: PreparedModel) -> str:
    """What it was trained with."""
    if model.kind == linear.KIND:
        return "scikit-learn"
    facts = models.forest_facts(model.kind, lambda: model.content, model.options)
    return model.kind if facts is None else facts.origin.lower()


class _Files:
    """What was written to the folder so far."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.entries: dict[str, FileEntry] = {}

    def write(self, name: str, content: bytes) -> None:
        """On disk when it returns."""
        try:
            with (self._folder / name).open("xb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
        except OSError as error:
            raise BundleError(f"{self._folder / name} cannot be written: {error.strerror}.") from error
        self.entries[name] = FileEntry(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


def _columns(
    prepared: PreparedModel,
    features: Features | None,
    inputs: Mapping[str, str] | None,
    reference: object | None,
) -> list[tuple[str, str]]:
    """Name and datatype of the bundle's columns; none for a model that keeps its own inputs."""
    if inputs is not None and (features is not None or prepared.feature_names is None):
        reason = (
            "the features say their inputs" if features is not None else "an ONNX model keeps its own inputs"
        )
        raise BundleError(
            f"inputs= is for a model of named columns without features; here {reason}. Leave it out."
        )
    if features is not None:
        _compare_names(prepared, features)
        return list(features.inputs)
    if prepared.feature_names is None:
        return []
    datatypes = {} if reference is None else infer_datatypes(reference, prepared.feature_names)
    for column, datatype in (inputs or {}).items():
        if column not in prepared.feature_names:
            raise BundleError(
                f"inputs= names '{column}', which the model has not. "
                f"It has: {', '.join(prepared.feature_names[:20])}."
            )
        if datatype not in DTYPES or datatype in ("BYTES", "BF16"):
            raise BundleError(
                f"inputs= says that '{column}' is {datatype}; expected a datatype of numbers such as FP32 or "
                f"INT64. Strings need features=."
            )
        datatypes[column] = datatype
    return [(column, datatypes.get(column, "FP64")) for column in prepared.feature_names]


def _compare_names(prepared: PreparedModel, features: Features) -> None:
    names = prepared.feature_names
    if names is None:
        return
    given = features.output_names
    if len(given) != len(names):
        raise ModelError(f"The features give {len(given)} columns; the model was trained on {len(names)}.")
    if not prepared.named:
        return
    for index, (got, expected) in enumerate(zip(given, names, strict=True)):
        if "_".join(got.split()) != "_".join(expected.split()):  # as LightGBM rewrites names
            raise ModelError(
                f"Column {index} of the features is '{got}'; the model was trained with '{expected}' there. "
                f"Pass the transforms in the order in which they made the training matrix."
            )


def _assemble(
    name: str,
    version: str,
    folder: Path,
    prepared: PreparedModel,
    features: Features | None,
    columns: list[tuple[str, str]],
    missing: list[str],
    max_rows: int,
) -> Version:
    """The version to record examples with; in the columns `missing`, an empty string is a missing value."""
    executor, plan = assemble(prepared.kind, str(folder / prepared.file), prepared.options, features, columns)
    for tensor, datatype, shape in executor.inputs:
        if not shape:
            raise ModelError(
                f"The model's input '{tensor}' ({datatype}) is a scalar; expected a first dimension of rows."
            )
    return make_version(
        name,
        version,
        "",
        executor=executor,
        plan=plan,
        matrix_passthrough=features is None and passes_matrix(prepared.kind, executor, columns),
        empty_is_missing=missing,
        max_rows=max_rows,
    )


def _record(
    core: Version,
    manifest: Manifest,
    prepared: PreparedModel,
    features: Features | None,
    examples: object,
    files: _Files,
    tolerance: Tolerance,
) -> Golden:
    """Writes the examples and their answers, once these have proved to be those of the model's library."""
    given: Arrays = arrays_of(examples, manifest.inputs)
    arrays = to_wire(given, manifest.inputs)
    rows = rows_of(arrays)
    size = batch_size(manifest.inputs, rows, manifest.max_rows)
    if rows == 0 or (rows % size and any(tensor.shape[0] == size for tensor in manifest.inputs)):
        raise InputError(
            f"examples= has {rows} rows; expected {'some' if rows == 0 else f'a multiple of {size}'}."
        )
    oracle = oracle_of(prepared, features, examples, given, manifest)
    answers = run_batches(core, manifest, arrays, size)
    if oracle is not None:
        oracle.compare(answers, size, tolerance)
    files.write(GOLDEN_FILE, write_examples(arrays, answers))
    return Golden(file=GOLDEN_FILE, rows=rows, tolerance=tolerance)


def _check_types(
    repository: object, *, name: object, version: object, max_rows: object, tolerance: object
) -> None:
    if not isinstance(repository, (str, os.PathLike)):
        raise BundleError(f"The repository is {_shown(repository)}; expected a folder's path.")
    for what, text, example in (("model name", name, "delay"), ("version", version, "1")):
        if not isinstance(text, str):
            raise BundleError(f"The {what} is {_shown(text)}; expected text, such as '{example}'.")
    if not isinstance(max_rows, int) or isinstance(max_rows, bool):
        raise BundleError(f"max_rows is {_shown(max_rows)}; expected 0 (no limit) or a number of rows.")
    if tolerance is not None and (isinstance(tolerance, bool) or not isinstance(tolerance, (int, float))):
        raise BundleError(f"tolerance is {_shown(tolerance)}; expected a number from 0 up.")


def _scheduling(given: Scheduling | Mapping[str, Any] | None) -> Scheduling:
    try:
        return Scheduling.model_validate(given or {})
    except ValidationError as error:
        raise BundleError(f"scheduling= cannot be used: {describe_validation(error)}.") from error


def _shown(value: object) -> str:
    return f"{value!r:.80} ({type(value).__name__})"


def _tolerance(given: float | None, kind: str) -> Tolerance:
    value = _TOLERANCE[kind] if given is None else float(given)
    if not 0 <= value < float("inf"):
        raise BundleError(f"tolerance is {given}; expected a number from 0 up.")
    return Tolerance(absolute=value, relative=value)


def _created(given: str | datetime | None) -> str:
    try:
        if isinstance(given, str):
            return format_time(parse_time(given))
        if isinstance(given, datetime):
            if given.tzinfo is None:
                raise ValueError("expected a datetime that knows its time zone")
            return format_time(given)
        if given is not None:
            raise ValueError(f"it is {_shown(given)}; expected a datetime or its text")
        # https://reproducible-builds.org/specs/source-date-epoch/
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        return format_time(datetime.now(UTC) if epoch is None else datetime.fromtimestamp(int(epoch), UTC))
    except (ValueError, OverflowError, OSError) as error:
        what = "SOURCE_DATE_EPOCH" if given is None else "created"
        raise BundleError(f"{what} cannot be used: {error}.") from error
