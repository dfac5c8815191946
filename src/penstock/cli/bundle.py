"""`penstock bundle`: build, look at, check, pack and unpack the bundles of a repository."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli import options
from penstock.cli.model_facts import model_facts
from penstock.cli.output import print_facts, print_json, print_table, step
from penstock.contributions import OUTPUT as CONTRIBUTIONS
from penstock.errors import BundleError

if TYPE_CHECKING:
    from penstock.bundle.verify import VerifiedBundle

app = typer.Typer(
    no_args_is_help=True,
    help="Build, inspect, verify, pack and unpack bundles.",
    epilog="Example: penstock bundle inspect repository/delay/3",
)

Folder = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle's folder, as repository/delay/3.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


@app.command(
    "build",
    epilog="Example: penstock bundle build --model model.txt --name delay --version 3 --examples holdout.csv",
)
def build(
    model: Annotated[
        Path, typer.Option("--model", metavar="FILE", help="The file of a LightGBM, XGBoost or ONNX model.")
    ],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The model's name.")],
    version: Annotated[str, typer.Option("--version", metavar="VERSION", help="The version's name.")],
    repository: options.Repository = options.DEFAULT_REPOSITORY,
    examples: Annotated[
        Path | None,
        typer.Option(
            "--examples", metavar="FILE", help="Rows to record answers for, and to check at every load."
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option("--reference", metavar="FILE", help="The training data, for column types and lineage."),
    ] = None,
    max_rows: Annotated[
        int,
        typer.Option(
            "--max-rows", metavar="N", min=0, help="The most rows of one request; 0 for any number."
        ),
    ] = 0,
    tolerance: Annotated[
        float | None,
        typer.Option(
            "--tolerance", metavar="X", min=0.0, help="How far an example's answer may be off at a load."
        ),
    ] = None,
    lineage: Annotated[
        list[str] | None,
        typer.Option(
            "--lineage", metavar="KEY=VALUE", help="As author=Ann or metrics.auc=0.91; may be repeated."
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="KEY=VALUE",
            help="An option of the model, as intra_op_threads=2; may be repeated.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    json: options.Json = False,
) -> None:
    """Build a bundle from a model file, into REPOSITORY/NAME/VERSION.

    The model stands alone: its inputs are those of the file. A model with transforms is built in Python, by
    penstock.build(features=...).

    FILE of --examples and --reference is CSV, JSON or Parquet, by its name.
    """
    origin = _assigned(lineage or [], "--lineage")
    model_options = _assigned(option or [], "--option") or None
    from penstock.bundle.build import build as build_bundle
    from penstock.cli.tables import read_all

    with step(f"building {name}/{version}") as progress:
        built = build_bundle(
            repository,
            name=name,
            version=version,
            model=options.existing_file(model),
            reference=None if reference is None else read_all(reference),
            examples=None if examples is None else read_all(examples),
            lineage=origin,
            max_rows=max_rows,
            tolerance=tolerance,
            model_options=model_options,
            overwrite=overwrite,
            progress=progress,
        )
    if json:
        print_json(
            {"path": str(built.path), "name": built.name, "version": built.version, "digest": built.digest}
        )
    else:
        typer.echo(f"{built.path}  {built.digest}")


@app.command("inspect", epilog="Example: penstock bundle inspect repository/delay/3")
def inspect(
    bundle: Folder,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Show instead what runs between a request's columns and the model."),
    ] = False,
    json: options.Json = False,
) -> None:
    """Show what a bundle is: model, inputs, outputs, transforms, lineage, files. Its files are verified on
    the way.
    """
    if plan:
        _show_plan(bundle, json=json)
        return
    from penstock.bundle.verify import verify_bundle

    with step(f"verifying {bundle}") as progress:
        found = verify_bundle(bundle, keep=True, progress=progress)
    with found:
        forest = _forest(found)
        if json:
            shown = {"path": str(bundle), "digest": found.digest, "forest": forest}
            print_json(shown | found.manifest.model_dump(mode="json"))
            return
        _overview(found, forest)


@app.command("verify", epilog="Example: penstock bundle verify repository/delay/3")
def verify(
    bundle: Folder,
    run: Annotated[bool, typer.Option("--run", help="Also load it and check its golden examples.")] = False,
    allow_custom: options.AllowCustom = False,
    json: options.Json = False,
) -> None:
    """Check a bundle: its manifest, and the size and SHA-256 of each of its files."""
    if allow_custom and not run:
        raise typer.BadParameter("it is for --run", param_hint="--allow-custom-transforms")
    found = _verified(bundle)
    if run:
        from penstock.bundle.loading import open_bundle

        with step(f"loading {found.manifest.label}") as progress:
            open_bundle(bundle, allow_custom=allow_custom, progress=progress)
    golden = found.manifest.golden.rows if run and found.manifest.golden is not None else 0
    if json:
        print_json(
            {
                "path": str(bundle),
                "digest": found.digest,
                "files": len(found.manifest.files),
                "examples": golden,
            }
        )
    else:
        checked = f", {golden} golden examples" if golden else ""
        typer.echo(f"{bundle}: good, {len(found.manifest.files)} files{checked}, digest {found.digest}")


@app.command("pack", epilog="Example: penstock bundle pack repository/delay/3 delay-3.penstock")
def pack(
    bundle: Folder,
    archive: Annotated[
        Path | None,
        typer.Argument(metavar="ARCHIVE", help="The file to write; NAME-VERSION.penstock by default."),
    ] = None,
    overwrite: Overwrite = False,
    json: options.Json = False,
) -> None:
    """Verify a bundle and write it as one file."""
    from penstock.bundle.archive import pack as pack_bundle

    with step(f"packing {bundle}") as progress:
        written = pack_bundle(bundle, archive, overwrite=overwrite, progress=progress)
    if json:
        print_json({"archive": str(written), "bytes": written.stat().st_size})
    else:
        typer.echo(f"{written}  {written.stat().st_size:,} bytes")


@app.command("unpack", epilog="Example: penstock bundle unpack delay-3.penstock --repository repository")
def unpack(
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="A packed bundle.")],
    repository: options.Repository = options.DEFAULT_REPOSITORY,
    overwrite: Overwrite = False,
    json: options.Json = False,
) -> None:
    """Unpack a bundle into a repository. It appears there only after it was verified."""
    from penstock.bundle.archive import unpack as unpack_bundle

    with step(f"unpacking {archive}") as progress:
        path = unpack_bundle(archive, repository, overwrite=overwrite, progress=progress)
    if json:
        print_json({"path": str(path)})
    else:
        typer.echo(str(path))


def _show_plan(bundle: Path, *, json: bool) -> None:
    from penstock.bundle.features import matrix_columns, read_features, read_plan
    from penstock.bundle.verify import verify_bundle
    from penstock.transforms.plan_text import plan_document, plan_lines

    with step(f"verifying {bundle}") as progress:
        found = verify_bundle(bundle, keep=True, progress=progress)
    with found:
        plan = read_plan(found)
        inputs = [tensor.name for tensor in found.manifest.inputs]
        columns = matrix_columns(found.manifest.model.kind, read_features(found), inputs)
    if json:
        shown = {"matrix_columns": columns, "plan": plan and plan_document(plan)}
        print_json({"path": str(bundle), "digest": found.digest} | shown)
    elif plan is None:
        typer.echo(f"{found.manifest.label} has no plan: its model takes the request's tensors as they are.")
    else:
        typer.echo("\n".join([f"{found.manifest.label}", *plan_lines(plan)]))
        if found.manifest.model.kind != "linear":  # whose plan may give fewer columns, the others folded
            typer.echo(f"\nmatrix columns  {', '.join(columns)}")


def _verified(bundle: Path) -> VerifiedBundle:
    from penstock.bundle.verify import verify_bundle

    with step(f"verifying {bundle}") as progress:
        return verify_bundle(bundle, progress=progress)


def _forest(bundle: VerifiedBundle) -> dict[str, Any] | None:
    """What the model's trees are and what would run them here; None where it has none. `problem` stands alone
    where it would not load.
    """
    from dataclasses import asdict

    from penstock.errors import ModelError
    from penstock.models import forest_facts, load_executor

    model = bundle.manifest.model
    file = bundle.files[model.file]
    try:
        facts = forest_facts(model.kind, file.read, model.options)
        if facts is None:
            return None
        executor = load_executor(model.kind, file.path, model.options)
    except ModelError as error:
        return {"problem": str(error)}
    names = [name for name, _, _ in executor.outputs]
    return asdict(facts) | {"executor": executor.description, "contributions": CONTRIBUTIONS in names}


def _forest_lines(forest: dict[str, Any] | None) -> dict[str, str]:
    if forest is None:
        return {}
    if "problem" in forest:
        return {"forest": f"cannot be served here: {forest['problem']}"}
    return model_facts(forest["executor"], forest, forest["contributions"])


def _overview(bundle: VerifiedBundle, forest: dict[str, Any] | None) -> None:
    manifest = bundle.manifest
    lineage = manifest.lineage
    facts: dict[str, Any] = {
        "bundle": manifest.label,
        "digest": bundle.digest,
        "created": manifest.created,
        "model": f"{manifest.model.kind}, {manifest.model.file}",
        **_forest_lines(forest),
        "options": _pairs(manifest.model.options.model_dump(mode="json")),
        "rows": f"at most {manifest.max_rows} in a request"
        if manifest.max_rows
        else "any number in a request",
        "examples": "none" if manifest.golden is None else f"{manifest.golden.rows} golden",
        "author": lineage.author,
        "code": lineage.code_revision,
        "training data": lineage.training_data
        and f"{lineage.training_data.rows:,} rows, {lineage.training_data.digest}",
        "parameters": _pairs(lineage.parameters),
        "metrics": _pairs(lineage.metrics),
        "built with": _pairs({"python": lineage.environment.python} | lineage.environment.packages),
        **{key: str(value) for key, value in lineage.extra.items()},
    }
    print_facts(facts)
    tensors: list[Sequence[str]] = []
    for direction, group in (("input", manifest.inputs), ("output", manifest.outputs)):
        tensors += [(direction, t.name, t.datatype, str(list(t.shape))) for t in group]
    typer.echo()
    print_table(("tensor", "name", "datatype", "shape"), tensors)
    if steps := _transforms(bundle):
        typer.echo()
        print_table(("transform", "columns", "parameters"), steps)
    for code in _custom_code(bundle):
        typer.echo(f"\n{code}")
    typer.echo()
    files = [(name, f"{entry.bytes:,}", entry.sha256) for name, entry in sorted(manifest.files.items())]
    print_table(("file", "bytes", "sha-256"), files)


def _transforms(bundle: VerifiedBundle) -> list[Sequence[str]]:
    """Kind, columns and the other parameters of each transform, in order, from the bundle's document."""
    named = bundle.manifest.transforms
    if named is None:
        return []
    import json

    from penstock.transforms.saved import from_json

    rows: list[Sequence[str]] = []
    try:
        for entry in json.loads((bundle.path / named.document).read_bytes())["transforms"]:
            parameters = {name: from_json(value) for name, value in entry["parameters"].items()}
            columns = parameters.pop("columns")
            if entry["kind"] == "custom":  # its source is shown by itself
                parameters["function"] = parameters["function"]["name"]
            rows.append((str(entry["kind"]), _shown(columns), _pairs(parameters)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"{bundle.path}: {named.document} cannot be read as transforms: {error!r}"
        ) from error
    return rows


def _custom_code(bundle: VerifiedBundle) -> list[str]:
    """What each custom transform would run, to be read before it is allowed. Runs nothing of it."""
    named = bundle.manifest.transforms
    if named is None:
        return []
    import json

    from penstock.transforms.saved import from_json
    from penstock.transforms.scalar_function import ScalarFunction

    document = json.loads((bundle.path / named.document).read_bytes())
    return [
        ScalarFunction.from_saved(from_json(entry["parameters"]["function"])).text
        for entry in document["transforms"]
        if entry["kind"] == "custom"
    ]


def _pairs(values: Mapping[str, Any]) -> str:
    """Names and values; what is null was not set."""
    return ", ".join(f"{key} {_shown(value)}" for key, value in values.items() if value is not None)


def _shown(value: Any) -> str:
    return " ".join(map(_shown, value)) if isinstance(value, list) else str(value)


def _assigned(assignments: Sequence[str], option: str) -> dict[str, Any]:
    """KEY=VALUE pairs as a mapping. A dotted key is a mapping inside; a value that reads as JSON is what it
    says.
    """
    import json

    result: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        *outer, last = key.split(".")
        if not equals or not all((*outer, last)):
            raise typer.BadParameter(f"'{assignment}' is not KEY=VALUE", param_hint=option)
        try:
            value: Any = json.loads(text)
        except ValueError:
            value = text
        table = result
        for part in outer:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise typer.BadParameter(f"'{part}' of '{assignment}' has a value already", param_hint=option)
        if last in table:
            raise typer.BadParameter(f"'{key}' of '{assignment}' has a value already", param_hint=option)
        table[last] = value
    return result
