"""Loading: from a folder to a version that can answer, verified, compared with its golden examples, and
warm.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.bundle.cost import measure
from penstock.bundle.examples import Arrays, invent, read_examples
from penstock.bundle.features import (
    assemble,
    empty_is_missing,
    matrix_columns,
    passes_matrix,
    read_features,
)
from penstock.bundle.golden import batch_size, check_golden, warm_up
from penstock.bundle.independence import Independence, independent_rows
from penstock.bundle.manifest import Input, Manifest, Tensor
from penstock.bundle.schedule import Schedule, schedule_of, without_effect
from penstock.bundle.verify import DEFAULT_LIMITS, Limits, Progress, VerifiedBundle, verify_bundle
from penstock.config import PoolSection, Scheduling
from penstock.errors import BundleError, GoldenError, ModelError, PenstockError, StatusError
from penstock.instants import Times
from penstock.models import ForestFacts, forest_facts
from penstock.models.options import ModelOptions

if TYPE_CHECKING:
    from penstock._core import Executor, Version
    from penstock.transforms.plan import Plan

_log = logging.getLogger("penstock.bundle")


@dataclass(frozen=True)
class Serving:
    """What a server says of how a bundle's requests are to run."""

    pool: PoolSection
    scheduling: Scheduling


@dataclass(frozen=True)
class LoadedBundle:
    """A version that is ready. `core` answers requests, here or in the server."""

    path: Path
    manifest: Manifest
    digest: str
    core: Version
    description: str  # a line for people: what runs the model
    times: Mapping[str, Times]  # of each input that is dates and times, whether they have a time zone
    matrix_columns: tuple[str, ...]  # of the model's matrix, by name; of ONNX without features, none
    forest: ForestFacts | None  # None where the model is no forest
    schedule: Schedule | None = None  # None where it is not to serve


def open_bundle(
    path: str | os.PathLike[str],
    *,
    limits: Limits = DEFAULT_LIMITS,
    overrides: Mapping[str, Any] | None = None,
    expected: tuple[str, str] | None = None,
    allow_custom: bool = False,
    serving: Serving | None = None,
    progress: Progress | None = None,
) -> LoadedBundle:
    """Verifies, loads, checks the golden examples and warms up.

    The files are read once, into sealed memory, and everything is loaded from there; until this
    returns, a bundle takes its size in memory beside the loaded model. `overrides` replace options of
    its model. `expected` are the name and version that it must have. `allow_custom` lets its custom
    transforms run, which are code of whoever built it; without, RefusedError where it has any. With `serving`
    what its runs cost is measured, and says where its requests run. Raises
    NotFoundError for no such folder; BundleError, ModelError, TransformError, ConfigError or GoldenError
    (one line, with the version's name) for what cannot be served.
    """
    with verify_bundle(path, limits=limits, expected=expected, keep=True, progress=progress) as bundle:
        manifest = bundle.manifest
        tell = progress or (lambda _: None)
        with _about(manifest.label):
            tell(f"{manifest.label}: loading {manifest.model.file}")
            options = manifest.model.options.replaced(overrides, manifest.model.kind)
            features = read_features(bundle, allow_custom=allow_custom)
            missing = [tensor.name for tensor in manifest.inputs if tensor.empty_is_missing]
            _compare_missing(missing, empty_is_missing(features))
            columns = [(tensor.name, tensor.datatype) for tensor in manifest.inputs]
            file = bundle.files[manifest.model.file].path
            executor, plan = assemble(manifest.model.kind, file, options, features, columns)
            core = make_version(
                manifest.name,
                manifest.version,
                bundle.digest,
                executor=executor,
                plan=plan,
                matrix_passthrough=features is None and passes_matrix(manifest.model.kind, executor, columns),
                empty_is_missing=missing,
                max_rows=manifest.max_rows,
            )
            _compare_schema("input", manifest.inputs, core.inputs)
            _compare_schema("output", manifest.outputs, core.outputs)
            forest = forest_facts(manifest.model.kind, bundle.files[manifest.model.file].read, options)
        examples = _exercise(core, bundle, tell)
        schedule = None
        if serving is not None:
            schedule = _schedule(core, manifest, options, bundle, examples, serving)
    times = {} if features is None else features.times
    names = matrix_columns(manifest.model.kind, features, [name for name, _ in columns])
    return LoadedBundle(
        Path(path), manifest, bundle.digest, core, executor.description, times, names, forest, schedule
    )


def make_version(
    name: str,
    version: str,
    digest: str,
    *,
    executor: Executor,
    plan: Plan | None,
    matrix_passthrough: bool,
    empty_is_missing: Sequence[str],
    max_rows: int,
) -> Version:
    """The core's version of what assemble() gave. ModelError when the parts do not fit together."""
    from penstock._core import Version

    try:
        return Version(
            model=name,
            version=version,
            digest=digest,
            executor=executor,
            program=None if plan is None else plan.program(),
            matrix_passthrough=matrix_passthrough,
            empty_is_missing=empty_is_missing,
            max_rows=max_rows,
        )
    except StatusError as error:
        raise ModelError(str(error)) from error


def _schedule(
    core: Version,
    manifest: Manifest,
    options: ModelOptions,
    bundle: VerifiedBundle,
    examples: Arrays,
    serving: Serving,
) -> Schedule:
    """Measures what runs of the version cost, and tells the core where its requests run."""
    try:
        cost = measure(core, manifest.inputs, examples, manifest.max_rows)
    except StatusError as error:
        raise ModelError(f"{manifest.label}: its cost cannot be measured: {error}") from error
    scheduling = serving.scheduling.over(manifest.scheduling)

    def independence() -> Independence:
        model = bundle.files[manifest.model.file].path
        return independent_rows(core, manifest, options, model, examples, bundle.digest)

    schedule = schedule_of(cost, scheduling, serving.pool, manifest, independence)
    for line in without_effect(scheduling, schedule):
        _log.warning("%s: scheduling: %s", manifest.label, line)
    core.set_schedule(**schedule.for_core())
    return schedule


def _exercise(core: Version, bundle: VerifiedBundle, tell: Progress) -> Arrays:
    """Runs and compares its examples, or invented ones, which it gives."""
    manifest = bundle.manifest
    if manifest.golden is None:
        tell(f"{manifest.label}: warming up")
        rows = batch_size(manifest.inputs, 1, manifest.max_rows)
        try:
            invented = invent(manifest.inputs, rows, bundle.digest)
            warm_up(core, manifest, invented)
        except GoldenError as error:
            raise GoldenError(
                f"{error} These values were invented: build the bundle with examples=."
            ) from error
        except BundleError as error:
            raise BundleError(f"{manifest.label}: {error}.") from error
        return invented
    tell(f"{manifest.label}: checking {manifest.golden.rows} golden examples")
    try:
        inputs, outputs = read_examples(
            bundle.files[manifest.golden.file].read(), manifest.inputs, manifest.outputs, manifest.golden.rows
        )
    except BundleError as error:
        raise BundleError(f"{manifest.label}: {manifest.golden.file} {error}.") from error
    check_golden(core, manifest, inputs, outputs)
    warm_up(core, manifest, inputs)
    return inputs


def _compare_missing(stated: Sequence[str], learned: Sequence[str]) -> None:
    if set(stated) != set(learned):
        raise BundleError(
            f"bundle.json says that empty strings mean missing: {', '.join(stated) or 'in no column'}; "
            f"the transforms were fitted for: {', '.join(learned) or 'no column'}."
        )


def _compare_schema(
    what: str, stated: Sequence[Input | Tensor], found: Sequence[tuple[str, str, tuple[int, ...]]]
) -> None:
    said = [(tensor.name, tensor.datatype, tensor.shape) for tensor in stated]
    real = [(name, datatype, tuple(shape)) for name, datatype, shape in found]
    if said != real:
        raise BundleError(f"bundle.json says the {what}s {_listed(said)}; the model has {_listed(real)}.")


def _listed(tensors: Sequence[tuple[str, str, tuple[int, ...]]]) -> str:
    return ", ".join(f"{name} {datatype} {list(shape)}" for name, datatype, shape in tensors)


@contextmanager
def _about(label: str) -> Iterator[None]:
    """Puts the version's name before what goes wrong inside."""
    try:
        yield
    except StatusError as error:
        raise BundleError(f"{label}: {error}") from error
    except PenstockError as error:
        raise type(error)(f"{label}: {error}") from error
