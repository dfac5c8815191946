from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
from cli_program import Run
from onnx import TensorProto, helper
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression

import penstock
from penstock import transforms as t
from penstock.bundle.manifest import digest_of, parse_manifest

TRANSFORMS = {
    "inputs": [["hour", "INT64"]],
    "transforms": [
        {"kind": "cyclic", "parameters": {"columns": ["hour"], "period": 24}, "learned": {}},
        {
            "kind": "ordinal",
            "parameters": {"columns": ["c"], "missing_value": {"float": "nan"}, "drop": None},
        },
    ],
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle whose manifest is true of its files; they are never loaded here."""
    contents = {
        "model.txt": b"tree\n" * 100,
        "transforms.json": json.dumps(TRANSFORMS).encode(),
        "transforms.safetensors": b"\2\0\0\0\0\0\0\0{}",
    }
    fields: dict[str, Any] = {
        "format": 1,
        "name": "delay",
        "version": "3",
        "created": "2026-01-31T12:00:00Z",
        "model": {"kind": "lightgbm", "file": "model.txt", "options": {}},
        "inputs": [{"name": "hour", "datatype": "INT64", "shape": [-1]}],
        "outputs": [{"name": "prediction", "datatype": "FP64", "shape": [-1]}],
        "transforms": {"document": "transforms.json", "arrays": "transforms.safetensors"},
        "max_rows": 256,
        "golden": None,
        "lineage": {
            "training_data": {"digest": "ab" * 32, "rows": 12345},
            "metrics": {"auc": 0.91},
            "author": "Ann",
            "environment": {"python": "3.11.7", "packages": {"lightgbm": "4.6.0"}},
        },
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in contents.items()
        },
    }
    folder = tmp_path / "repository" / "delay" / "3"
    folder.mkdir(parents=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    (folder / "bundle.json").write_bytes(parse_manifest(json.dumps(fields).encode()).to_bytes())
    return folder


def digest(bundle: Path) -> str:
    return digest_of((bundle / "bundle.json").read_bytes())


def test_inspect_shows_what_a_bundle_is(run: Run, bundle: Path) -> None:
    code, out, _ = run("bundle", "inspect", bundle)
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    for expected in (
        ["bundle", "delay/3"],
        ["digest", digest(bundle)],
        ["author", "Ann"],
        ["metrics", "auc", "0.91"],
        ["training", "data", "12,345", "rows,", "ab" * 32],
        ["input", "hour", "INT64", "[-1]"],
        ["output", "prediction", "FP64", "[-1]"],
        ["cyclic", "hour", "period", "24"],
        ["ordinal", "c", "missing_value", "nan"],
        ["model.txt", "500", hashlib.sha256(b"tree\n" * 100).hexdigest()],
    ):
        assert expected in lines


def test_inspect_as_json_is_the_manifest_with_its_digest(run: Run, bundle: Path) -> None:
    code, out, _ = run("bundle", "inspect", bundle, "--json")
    found = json.loads(out)
    assert code == 0
    assert found.pop("digest") == digest(bundle)
    assert found.pop("path") == str(bundle)
    assert "no complete LightGBM text model" in found.pop("forest")["problem"]
    assert found == json.loads((bundle / "bundle.json").read_bytes())


def test_inspect_says_what_a_forest_is_and_what_would_run_it(run: Run, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(400, 3)), random.normal(size=400)
    settings = {"objective": "regression", "num_leaves": 5, "verbose": -1, "deterministic": True}
    grown = {
        "compiled": (lightgbm.train(settings, lightgbm.Dataset(x, y), 12), {"num_iterations": 8}),
        "library": (lightgbm.train(settings | {"linear_tree": True}, lightgbm.Dataset(x, y), 3), {}),
        "sklearn": (RandomForestRegressor(4, max_leaf_nodes=6, random_state=0).fit(x, y), {}),
    }
    shown, found = {}, {}
    for name, (model, options) in grown.items():
        path = penstock.build(
            tmp_path / "repository", name=name, version="1", model=model, model_options=options
        ).path
        shown[name] = [" ".join(line.split()) for line in run("bundle", "inspect", path)[1].splitlines()]
        found[name] = json.loads(run("bundle", "inspect", path, "--json")[1])["forest"]
    trees = "forest LightGBM, regression: 8 trees of at most 5 leaves, 3 features, 1 output"
    assert {trees, "contributions on request"} <= set(shown["compiled"])
    assert found["compiled"]["executor"].startswith("compiled forest of LightGBM, cpu, ")
    assert (found["compiled"]["trees"], found["compiled"]["contributions"]) == (8, True)
    why = "runs on LightGBM C library, cpu: linear trees are not compiled"
    assert {why, "contributions none"} <= set(shown["library"])
    assert found["sklearn"]["objective"] == "RandomForestRegressor"
    assert (found["sklearn"]["link"], found["sklearn"]["leaves"]) == ("identity", 6)


def test_inspect_says_why_a_model_cannot_be_served(run: Run, bundle: Path) -> None:
    code, out, _ = run("bundle", "inspect", bundle)
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("forest")]
    assert "cannot be served here: model.txt is no complete LightGBM text model" in line


def test_verify_accepts_what_the_manifest_says(run: Run, bundle: Path) -> None:
    code, out, _ = run("bundle", "verify", bundle)
    assert (code, out) == (0, f"{bundle}: good, 3 files, digest {digest(bundle)}\n")
    code, out, _ = run("bundle", "verify", bundle, "--json")
    assert json.loads(out)["files"] == 3


@pytest.mark.parametrize("command", ["verify", "inspect", "pack"])
def test_an_altered_file_is_named_and_nothing_else_is_said_on_stdout(
    run: Run, bundle: Path, command: str
) -> None:
    (bundle / "model.txt").write_bytes(b"trEE\n" * 100)
    code, out, err = run("bundle", command, bundle)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith(f"penstock: {bundle}: model.txt has the SHA-256")


def test_a_folder_that_is_no_bundle_is_refused(run: Run, tmp_path: Path) -> None:
    code, _, err = run("bundle", "inspect", tmp_path)
    assert code == 1
    assert "holds no bundle.json" in err
    code, _, err = run("bundle", "verify", tmp_path / "nothing")
    assert code == 1
    assert "There is no bundle folder" in err


def test_a_bundle_comes_out_of_its_archive_as_it_went_in(run: Run, bundle: Path, tmp_path: Path) -> None:
    archive = tmp_path / "delay-3.penstock"
    code, out, err = run("bundle", "pack", bundle, archive)
    assert (code, err) == (0, "")  # quick work tells nothing of its progress
    assert out == f"{archive}  {archive.stat().st_size:,} bytes\n"
    code, out, _ = run("bundle", "unpack", archive, "--repository", tmp_path / "other", "--json")
    unpacked = Path(json.loads(out)["path"])
    assert (code, unpacked) == (0, tmp_path / "other" / "delay" / "3")
    for file in bundle.iterdir():
        assert (unpacked / file.name).read_bytes() == file.read_bytes()


def test_what_is_there_is_replaced_only_on_demand(run: Run, bundle: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.penstock"
    assert run("bundle", "pack", bundle, archive)[0] == 0
    code, _, err = run("bundle", "pack", bundle, archive)
    assert code == 1
    assert "--overwrite" in err
    assert run("bundle", "pack", bundle, archive, "--overwrite")[0] == 0
    code, _, err = run("bundle", "unpack", archive, "--repository", tmp_path / "repository")
    assert code == 1
    assert "(--overwrite) to replace it" in err
    assert run("bundle", "unpack", archive, "--repository", tmp_path / "repository", "--overwrite")[0] == 0


def test_a_damaged_archive_leaves_nothing_behind(run: Run, bundle: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.penstock"
    run("bundle", "pack", bundle, archive)
    archive.write_bytes(archive.read_bytes()[:-60])
    code, _, err = run("bundle", "unpack", archive, "--repository", tmp_path / "other")
    assert code == 1
    assert str(archive) in err
    assert not (tmp_path / "other" / "delay").exists()


def test_a_key_of_lineage_is_given_once(run: Run, tmp_path: Path) -> None:
    for first, second in (("a=1", "a=2"), ("a.b=1", "a=2"), ("a=1", "a.b=2")):
        code, _, err = run(
            "bundle", "build", "--model", "m", "--name", "m", "--version", "1",
            "--repository", tmp_path, "--lineage", first, "--lineage", second,
        )  # fmt: skip
        assert code == 2
        assert "'a' of" in err
        assert "has a value already" in err


def test_a_model_that_does_not_load_is_told_once(run: Run, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"\x08\x08 nothing more")
    code, _, err = run(
        "bundle", "build", "--model", model, "--name", "m", "--version", "1", "--repository", tmp_path
    )
    assert code == 1
    last = err.splitlines()[-1]
    assert last.startswith("penstock: ONNX Runtime cannot load the model: ")
    assert last.count("ONNX Runtime") == 1
    assert str(tmp_path) not in last


@pytest.mark.parametrize("assignment", ["author", "=Ann", "metrics.=1", ".auc=1"])
def test_lineage_that_is_no_assignment_is_wrong_use(run: Run, tmp_path: Path, assignment: str) -> None:
    model = tmp_path / "model.txt"
    model.write_text("tree\n")
    code, _, err = run(
        "bundle", "build", "--model", model, "--name", "m", "--version", "1", "--lineage", assignment
    )
    assert code == 2
    assert "is not KEY=VALUE" in err


def test_the_help_of_build_says_where_transforms_go(run: Run) -> None:
    code, out, _ = run("bundle", "build", "--help")
    assert code == 0
    assert "penstock.build(features=...)" in " ".join(out.split())


def test_a_fifo_is_no_archive_and_is_not_waited_for(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    code, _, err = run("bundle", "unpack", tmp_path / "fifo", "--repository", tmp_path / "other")
    assert code == 1
    assert "is a FIFO; expected a regular file" in err


@pytest.fixture
def planned(tmp_path: Path) -> Path:
    """A bundle that can be loaded: two transforms, and one that nothing needs, before a linear model."""
    frame = {"x": [1.0, 2.0, None, 4.0], "c": ["a", "b", "a", "b"], "unused": [1.0, 1.0, 1.0, 1.0]}
    transforms = [t.Impute("x"), t.OneHot("c"), t.Log1p("unused"), t.Select(["x", "c=a", "c=b"], only=True)]
    features = t.Features(transforms).fit(frame)
    model = LinearRegression().fit(features.transform(frame), [1.0, 2.0, 3.0, 4.0])
    return penstock.build(tmp_path / "repository", name="m", version="1", model=model, features=features).path


def test_the_plan_shows_what_runs_between_the_columns_and_the_model(run: Run, planned: Path) -> None:
    code, out, _ = run("bundle", "inspect", planned, "--plan")
    assert code == 0
    lines = out.splitlines()
    assert lines[:3] == ["m/1", "inputs: x FP64, c BYTES", "output: features FP64 [rows, 2]"]
    assert "   x FP64 -> fill 2.33333 -> features[0] x" in lines
    assert "   c BYTES -> features[1] coefficient of c" in lines
    assert lines[-1] == "left out, since no feature depends on it: unused"


def test_the_plan_as_json(run: Run, planned: Path) -> None:
    code, out, _ = run("bundle", "inspect", planned, "--plan", "--json")
    assert code == 0
    plan = json.loads(out)["plan"]
    assert plan["inputs"] == [["x", "FP64"], ["c", "BYTES"]]
    assert {call["kernel"] for call in plan["calls"]} == {"chain", "ordinal_text"}


def test_a_model_of_its_own_inputs_has_no_plan(run: Run, tmp_path: Path) -> None:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    built = penstock.build(tmp_path / "repository", name="neg", version="1", model=model)
    code, out, _ = run("bundle", "inspect", built.path, "--plan")
    assert (code, out) == (0, "neg/1 has no plan: its model takes the request's tensors as they are.\n")
