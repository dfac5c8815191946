"""`penstock predict`: run a model over a file of rows, on a server or in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from json import loads
from math import prod
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli import options
from penstock.cli.output import print_json, progress
from penstock.errors import UNIMPLEMENTED, InputError, NotFoundError, RowError, StatusError

if TYPE_CHECKING:
    from penstock.cli.tables import Columns, Source
    from penstock.client import Client, TensorSpec

BATCH_ROWS = 1024


class Format(StrEnum):
    """The formats of a table."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def predict(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL[:VERSION]", help="A model, or one version of it by its name or an alias."
        ),
    ],
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="CSV, JSON, Parquet, a folder of Parquet; - for stdin.")
    ],
    server: options.Server = options.DEFAULT_SERVER,
    local: Annotated[bool, typer.Option("--local", help="Run in this process, without a server.")] = False,
    allow_custom_transforms: options.AllowCustom = False,
    repository: Annotated[
        Path, typer.Option("--repository", metavar="DIR", help="The repository's folder, for --local.")
    ] = options.DEFAULT_REPOSITORY,
    version: Annotated[
        str,
        typer.Option(
            "--version", metavar="VERSION", help="A version or alias; without it, the default version."
        ),
    ] = "",
    contributions: Annotated[
        bool,
        typer.Option(
            "--contributions", help="Also what each feature added to each prediction; of tree models alone."
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write CSV, JSON or Parquet here, not CSV to stdout."
        ),
    ] = None,
    kind: Annotated[
        Format | None, typer.Option("--format", help="The format of FILE, where its name does not say it.")
    ] = None,
    batch_rows: Annotated[
        int | None,
        typer.Option(
            "--batch-rows",
            metavar="N",
            min=1,
            help=f"The most rows at a time; without it, {BATCH_ROWS} in a request, more with --local.",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            metavar="N",
            min=1,
            help="Threads, for --local; without it, as many as the cores that there are.",
        ),
    ] = None,
    timeout: options.Timeout = 60.0,
    json: options.Json = False,
) -> None:
    """Run a model over the rows of a file.

    All rows are answered by the version that answers the first.
    """
    from penstock import scoring
    from penstock.cli import sinks, tables

    _refuse_path(model)
    model, named = options.split_target(model, "MODEL or MODEL:VERSION")
    if named and version not in ("", named):
        raise typer.BadParameter(f"'{version}' is another version than that of {model}:{named}")
    _check_use(context, local)
    version = version or named
    output = None if output == Path("-") else output
    output_kind = "csv" if output is None else tables.format_of(str(output))
    began = perf_counter()
    with (
        tables.opened(file, kind) as source,
        _local(model, version, repository, allow_custom_transforms, threads, batch_rows, contributions)
        if local
        else _remote(model, version, server, timeout, batch_rows or BATCH_ROWS, contributions) as predictor,
    ):
        kept = sinks.Collected()
        with (
            nullcontext(kept) if json and output is None else sinks.written(output, output_kind) as sink,
            progress(
                f"predicting with {model}",
                source.total,
                source.unit,
                results_on_stdout=output is None and not json,
            ) as advance,
        ):
            rows = 0
            for outputs in predictor.run(_batches(predictor, source), file):
                sink.write(_named(outputs, predictor.matrix_columns))
                rows += len(next(iter(outputs.values()), ()))
                advance(source.position())
            if not rows:
                sink.write(_named(scoring.nothing(predictor.outputs), predictor.matrix_columns))
    summary: dict[str, Any] = {
        "model": model,
        "version": predictor.version,
        "digest": predictor.digest,
        "rows": rows,
        "seconds": round(perf_counter() - began, 3),
    }
    if json:
        print_json(summary | ({"outputs": kept.columns} if output is None else {"output": str(output)}))
    elif output is not None:
        by = f" by {model} version {predictor.version}" if predictor.version else ""
        typer.echo(f"{output}: {rows:,} rows{by} in {summary['seconds']} s")


def _check_use(context: typer.Context, local: bool) -> None:
    """An option that would be passed over in silence is wrong use."""
    odd = ("server", "timeout") if local else ("repository", "allow_custom_transforms", "threads")
    for name in odd:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(
                f"it is for {'a server, not for --local' if local else '--local'}",
                param_hint=f"--{name.replace('_', '-')}",
            )


def _batches(predictor: Predictor, source: Source) -> Iterator[Columns]:
    names = [spec.name for spec in predictor.inputs]
    source.check(predictor.inputs)
    for batch in source.batches(predictor.limit, names):
        yield source.typed(batch, predictor.inputs)


@dataclass(slots=True)
class Predictor:
    """A model that is ready to run, here or on a server. `limit` is the most rows of a batch,
    `matrix_columns` name what its contributions are of.

    `run` takes the batches and the name of their file, and gives the outputs of each, in order.
    """

    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    limit: int
    run: Callable[[Iterator[Columns], str], Iterator[Mapping[str, Any]]]
    version: str = ""
    digest: str = ""
    matrix_columns: Sequence[str] = ()


def _named(outputs: Mapping[str, Any], matrix_columns: Sequence[str]) -> Mapping[str, Any]:
    """With the contributions as columns that are named after their features."""
    from penstock import contributions

    if contributions.OUTPUT not in outputs or not matrix_columns:
        return outputs
    columns = dict(outputs)
    matrix = columns.pop(contributions.OUTPUT)
    names = contributions.column_names(matrix_columns, matrix.shape[1])
    return columns | dict(zip(names, matrix.T, strict=True))


def _with_contributions(
    model: str, outputs: Sequence[TensorSpec], matrix_columns: Sequence[str] | None
) -> list[TensorSpec]:
    """InputError for a model that gives none, which has no `matrix_columns`."""
    from penstock import contributions
    from penstock.client import TensorSpec

    if matrix_columns is None:
        given = ", ".join(spec.name for spec in outputs)
        raise InputError(
            f"model '{model}' gives no contributions, only {given}. Compiled trees give them, where their "
            "file says how many training rows reached each leaf."
        )
    width = prod(outputs[0].shape[1:]) * (len(matrix_columns) + 1)
    return [*outputs, TensorSpec(contributions.OUTPUT, "FP64", (-1, width))]


@contextmanager
def _remote(
    model: str, version: str, server: str, timeout: float, batch_rows: int, contributions: bool
) -> Iterator[Predictor]:
    remedy = ", --local predicts without one"
    with options.connected(server, timeout, remedy) as client:

        def run(batches: Iterator[Columns], file: str) -> Iterator[Mapping[str, Any]]:
            before = 0
            for columns in batches:
                try:
                    result = client.infer(
                        model, columns, version=predictor.version or version, outputs=wanted
                    )
                except InputError as error:
                    if isinstance(error, RowError):
                        raise error.after(before) from error
                    if not before:
                        raise
                    raise InputError(f"{file}, in the rows from {before} on: {error}") from error
                predictor.version, predictor.digest = result.version, result.digest or predictor.digest
                yield result
                before += len(next(iter(result.values()), ()))

        metadata = client.model_metadata(model, version)
        config = _config(client, model, version)
        limit = min(batch_rows, int(config.get("max_batch_size", 0)) or batch_rows)
        outputs, wanted, names = list(metadata.outputs), [], None
        if contributions:
            parameter = config.get("parameters", {}).get("penstock_contributions")
            names = None if parameter is None else loads(parameter["string_value"])
            outputs = _with_contributions(model, outputs, names)
            wanted = [spec.name for spec in outputs]
        predictor = Predictor(metadata.inputs, outputs, limit, run, matrix_columns=names or ())
        yield predictor


def _config(client: Client, model: str, version: str) -> dict[str, Any]:
    try:
        return client.model_config(model, version)
    except StatusError as error:
        if error.status == UNIMPLEMENTED:  # ModelConfig is Triton's; other servers of the protocol lack it
            return {}
        raise


@contextmanager
def _local(
    model: str,
    version: str,
    repository: Path,
    allow_custom: bool,
    threads: int | None,
    batch_rows: int | None,
    contributions: bool,
) -> Iterator[Predictor]:
    folder = _folder(model, version, repository)
    from penstock import load
    from penstock.client import TensorSpec
    from penstock.scoring import BLOCK_ROWS

    runner = load(folder, allow_custom=allow_custom)
    manifest = runner.manifest
    limit = batch_rows or BLOCK_ROWS
    inputs, outputs = (
        [TensorSpec(tensor.name, tensor.datatype, tensor.shape) for tensor in tensors]
        for tensors in (manifest.inputs, manifest.outputs)
    )

    if contributions:
        names = runner.matrix_columns if runner.optional_outputs else None
        outputs = _with_contributions(model, outputs, names)
    wanted = [spec.name for spec in outputs]

    def run(batches: Iterator[Columns], file: str) -> Iterator[Mapping[str, Any]]:
        with closing(runner.score(batches, wanted, threads=threads, block_rows=limit)) as answers:
            for _, answered in answers:
                yield answered

    yield Predictor(
        inputs, outputs, limit, run, manifest.version, runner.digest, matrix_columns=runner.matrix_columns
    )


def _refuse_path(model: str) -> None:
    """A bundle's folder in the model's place is wrong use: a model has no `/` in its name."""
    if "/" not in model or not (Path(model) / "bundle.json").is_file():
        return
    place = Path(model).absolute()
    raise typer.BadParameter(
        f"{model} is a bundle's folder; give it as {place.parent.name}:{place.name} "
        f"--local --repository {place.parent.parent}"
    )


def _folder(model: str, version: str, repository: Path) -> Path:
    """Where the version lies that a server with default settings would answer with."""
    from penstock.repository import aliases, layout
    from penstock.repository.policy import newest_first, version_order

    models = layout.scan(repository)
    found = models.get(model)
    if found is None or not found.versions:
        known = ", ".join(sorted(name for name, folder in models.items() if folder.versions))
        raise NotFoundError(
            f"the repository {repository} has no model '{model}'; it has: {known or 'none'}. "
            "--repository names another."
        )
    wanted = version or found.aliases.get(aliases.STABLE) or newest_first(found.versions)[0]
    wanted = found.aliases.get(wanted, wanted) if wanted not in found.versions else wanted
    if wanted not in found.versions:
        known = ", ".join(sorted(found.versions, key=version_order))
        raise NotFoundError(f"model '{model}' has no version '{wanted}' in {repository}; it has: {known}")
    return found.versions[wanted].path
