from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from small_models import booster, flights, linear

import penstock
from penstock import _proto
from penstock.bundle.archive import pack, unpack
from penstock.bundle.examples import rows_of
from penstock.bundle.golden import WARM_UP_RUNS, infer
from penstock.bundle.loading import open_bundle
from penstock.errors import BundleError, ConfigError, GoldenError, ModelError, PenstockError

Rewrite = Callable[[bytes], bytes]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    bundle = penstock.build(
        tmp_path / "repository", name="delay", version="3", model=booster(), examples=flights(5), max_rows=64
    )
    return Path(bundle.path)


def rewrite(path: Path, name: str, change: Rewrite, **fields: Any) -> None:
    """Changes a file and makes the manifest agree: what is left to refuse is what the file means."""
    data = change((path / name).read_bytes())
    (path / name).write_bytes(data)
    manifest = json.loads((path / "bundle.json").read_bytes())
    manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (path / "bundle.json").write_text(json.dumps({**manifest, **fields}))


def refused(path: Path, kind: type[PenstockError] | tuple[type[PenstockError], ...], **options: Any) -> str:
    with pytest.raises(kind) as caught:
        open_bundle(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_bundle_opens_and_answers_like_its_booster(path: Path) -> None:
    loaded = open_bundle(path)
    assert (loaded.path, loaded.manifest.label) == (path, "delay/3")
    assert loaded.digest == hashlib.sha256((path / "bundle.json").read_bytes()).hexdigest()
    assert "LightGBM" in loaded.description
    rows = flights(20, seed=9)
    request = _proto.ModelInferRequest(model_name="delay", id="7")
    for name in rows.columns:
        request.inputs.add(name=name, datatype="FP64", shape=[20])
        request.raw_input_contents.append(rows[name].to_numpy().tobytes())
    answer: Any = _proto.ModelInferResponse.FromString(loaded.core.infer(request.SerializeToString()))
    assert (answer.model_name, answer.model_version, answer.id) == ("delay", "3", "7")
    assert answer.parameters["penstock_digest"].string_param == loaded.digest
    assert np.array_equal(np.frombuffer(answer.raw_output_contents[0]), booster().predict(rows))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_matrix_of_all_columns_is_answered_too(path: Path, dtype: type[np.floating[Any]]) -> None:
    matrix = flights(6, seed=4).to_numpy(dtype)
    request = _proto.ModelInferRequest(model_name="delay")
    request.inputs.add(name="features", datatype={4: "FP32", 8: "FP64"}[matrix.itemsize], shape=matrix.shape)
    request.raw_input_contents.append(matrix.tobytes())
    answer: Any = _proto.ModelInferResponse.FromString(
        open_bundle(path).core.infer(request.SerializeToString())
    )
    assert np.array_equal(np.frombuffer(answer.raw_output_contents[0]), booster().predict(matrix))


def test_opening_warms_up_without_counting_as_served(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []

    def counted(core: Any, name: str, version: str, inputs: Any, arrays: Any) -> Any:
        ran.append(rows_of(arrays))
        return infer(core, name, version, inputs, arrays)

    monkeypatch.setattr("penstock.bundle.golden.infer", counted)
    counters = open_bundle(path).core.counters()
    # The examples one by one, once as a batch, and the warm-up.
    assert ran[:6] == [1, 1, 1, 1, 1, 5]
    assert 1 <= len(ran[6:]) <= WARM_UP_RUNS
    assert counters["requests"] == counters["failures"] == 0


def test_opening_works_from_a_copy_that_the_folder_cannot_change(path: Path) -> None:
    """The files are swapped as soon as they were verified; what answers is what was verified."""
    swapped = []

    def swap(line: str) -> None:
        if "loading" in line:
            (path / "model.txt").write_bytes(booster(rounds=1).model_to_string().encode())
            (path / "golden.safetensors").unlink()
            swapped.append(line)

    loaded = open_bundle(path, progress=swap)
    assert len(swapped) == 1
    rows = flights(4, seed=3)
    answer = loaded.core.run({name: rows[name].to_numpy() for name in rows.columns})
    assert np.array_equal(answer["prediction"], booster().predict(rows))


def change_output(row: int, to: float) -> Rewrite:
    def change(data: bytes) -> bytes:
        tensors = safetensors.numpy.load(data)
        tensors["output/prediction"][row] = to
        return safetensors.numpy.save(tensors)

    return change


def test_another_answer_is_refused_and_the_first_difference_named(path: Path) -> None:
    was = booster().predict(flights(5))[3]
    rewrite(path, "golden.safetensors", change_output(3, 0.75))
    message = refused(path, GoldenError)
    assert "delay/3: golden example 3, output 'prediction': expected 0.75, got " in message
    assert (
        f"a difference of {abs(was - 0.75):.3g} where 1.75e-09 is allowed (sent one row at a time)" in message
    )


def test_a_difference_within_the_tolerance_passes(path: Path) -> None:
    was = booster().predict(flights(5))[2]
    rewrite(path, "golden.safetensors", change_output(2, was + 1e-10))
    open_bundle(path)
    rewrite(path, "golden.safetensors", change_output(2, was + 1e-8))
    refused(path, GoldenError)


def test_a_missing_answer_is_not_equal_to_a_number(path: Path) -> None:
    rewrite(path, "golden.safetensors", change_output(0, float("nan")))
    assert "expected nan, got 0." in refused(path, GoldenError)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-1], "golden.safetensors is no safetensors file"),
        (lambda data: b"", "golden.safetensors is no safetensors file"),
        (
            lambda data: safetensors.numpy.save({"x": np.zeros(1)}),
            "golden.safetensors holds no 'input/distance'",
        ),
    ],
)
def test_damaged_examples_are_refused(path: Path, change: Rewrite, words: str) -> None:
    rewrite(path, "golden.safetensors", change)
    assert words in refused(path, BundleError)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"tree\n",
        lambda data: os.urandom(3000),
        lambda data: data.replace(b"split_feature=", b"split_feature=99999 "),
        lambda data: data.replace(b"num_leaves=", b"num_leaves=-"),
        lambda data: linear().SerializeToString(),
    ],
)
def test_a_damaged_model_is_refused_and_named(path: Path, change: Rewrite) -> None:
    rewrite(path, "model.txt", change)
    assert refused(path, ModelError).startswith("delay/3: model.txt cannot be served: ")


def test_another_model_under_the_same_name_is_refused(path: Path) -> None:
    frame = flights().rename(columns={"hour": "minute"}).assign(more=1.0)
    rewrite(path, "model.txt", lambda _: booster(frame).model_to_string().encode())
    assert "3 columns" in refused(path, (ModelError, BundleError))


def test_a_manifest_that_lies_about_the_schema_is_refused(path: Path) -> None:
    outputs = [{"name": "score", "datatype": "FP64", "shape": [-1]}]
    rewrite(path, "model.txt", lambda data: data, outputs=outputs)
    message = refused(path, BundleError)
    assert "says the outputs score FP64 [-1]; the model has prediction FP64 [-1]" in message


def test_an_untrue_digest_is_refused_before_anything_is_loaded(path: Path) -> None:
    (path / "model.txt").write_bytes((path / "model.txt").read_bytes().replace(b"0", b"1", 1))
    lines: list[str] = []
    assert "altered or damaged" in refused(path, BundleError, progress=lines.append)
    assert not any("loading" in line for line in lines)


def test_a_server_overrides_options_of_the_model(tmp_path: Path) -> None:
    bundle = penstock.build(tmp_path, name="m", version="1", model=linear(), examples={"x": np.ones((2, 3))})
    open_bundle(bundle.path, overrides={"intra_op_threads": 2, "optimization": "basic"})
    message = refused(bundle.path, ModelError, overrides={"providers": ["tensorrt", "cpu"]})
    assert message.startswith("m/1: model.onnx cannot be served: provider 'tensorrt' is not in this")
    assert "tensorrt" in message
    loaded = open_bundle(bundle.path, overrides={"providers": ["tensorrt", "cpu"], "fallback": True})
    assert "cpu" in loaded.description
    assert "m/1: Options for the onnx model: threads: no such field" in refused(
        bundle.path, ConfigError, overrides={"threads": 2}
    )


def test_a_packed_bundle_opens_elsewhere(path: Path, tmp_path: Path) -> None:
    moved = unpack(pack(path, tmp_path / "archive"), tmp_path / "elsewhere")
    assert open_bundle(moved).digest == open_bundle(path).digest


def test_a_bundle_that_is_out_of_place_is_refused_before_it_is_loaded(path: Path) -> None:
    assert open_bundle(path, expected=("delay", "3")).manifest.label == "delay/3"
    told: list[str] = []
    words = refused(path, BundleError, expected=("delay", "4"), progress=told.append)
    assert "holds the bundle delay/3; expected one that was built as delay/4. Move it" in words
    assert told == []


def test_nothing_stays_open_after_loading_or_refusing(path: Path) -> None:
    def links() -> int:
        found = 0
        for descriptor in list(Path("/proc/self/fd").iterdir()):
            with suppress(FileNotFoundError):  # that of the listing itself
                found += "memfd:" in str(descriptor.readlink())
        return found

    before = links()
    open_bundle(path)
    rewrite(path, "golden.safetensors", change_output(3, 0.75))
    refused(path, GoldenError)
    assert links() == before
