"""What is sent: from files, from tables, and made from metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock import _proto
from penstock.bench import bodies, probe
from penstock.bench.bodies import Asked, Body
from penstock.client import Client, ModelMetadata, TensorSpec
from penstock.errors import InputError, NotFoundError, StatusError

ASKED = Asked("delay", "2", {"priority": 3, "tenant": "blue"})
EVERY = tuple(
    TensorSpec(name.lower(), name, (-1, 2))
    for name in (
        *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
        *("FP16", "FP32", "FP64", "BF16", "BYTES"),
    )
)


def metadata(*inputs: TensorSpec) -> ModelMetadata:
    return ModelMetadata("delay", ("2",), "test", inputs, ())


def parsed(body: Body) -> Any:
    return _proto.ModelInferRequest.FromString(body.message)


def test_values_are_made_for_every_datatype_by_seed() -> None:
    made = bodies.made(metadata(*EVERY), ASKED, rows=3, count=4, seed=5)
    assert made == bodies.made(metadata(*EVERY), ASKED, rows=3, count=4, seed=5)
    assert made != bodies.made(metadata(*EVERY), ASKED, rows=3, count=4, seed=6)
    assert len({body.message for body in made}) == 4
    for body in made:
        request = parsed(body)
        assert (request.model_name, request.model_version) == ("delay", "2")
        assert request.parameters["priority"].int64_param == 3
        assert request.parameters["tenant"].string_param == "blue"
        assert [(t.name, t.datatype, list(t.shape)) for t in request.inputs] == [
            (spec.name, spec.datatype, [3, 2]) for spec in EVERY
        ]
        sizes = {
            t.datatype: len(raw) for t, raw in zip(request.inputs, request.raw_input_contents, strict=True)
        }
        assert (sizes["FP64"], sizes["BF16"], sizes["INT8"]) == (48, 12, 6)
        assert sizes["BYTES"] > 6 * 4


def test_fixed_dimensions_stay_and_free_ones_after_the_first_are_one() -> None:
    specs = (TensorSpec("image", "FP32", (-1, 4, -1)), TensorSpec("threshold", "FP32", (1,)))
    (body,) = bodies.made(metadata(*specs), ASKED, rows=5, count=1, seed=0)
    assert [list(t.shape) for t in parsed(body).inputs] == [[5, 4, 1], [1]]


def test_a_server_without_metadata_of_inputs_cannot_have_requests_made_up() -> None:
    with pytest.raises(InputError, match="does not say which inputs the model 'delay' has"):
        bodies.made(metadata(), ASKED, rows=1, count=1, seed=0)


def test_rows_for_a_model_of_fixed_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="fixed shapes: 2 rows do not fit"):
        bodies.made(metadata(TensorSpec("image", "FP32", (1, 4))), ASKED, rows=2, count=1, seed=0)


def test_rows_of_a_table_are_fitted_to_the_model() -> None:
    specs = (TensorSpec("a", "FP32", (-1,)), TensorSpec("word", "BYTES", (-1,)))
    table = {"word": ["x", None], "other": [0, 0], "a": [1, 2.5]}
    request = parsed(bodies.from_table(table, metadata(*specs), ASKED))
    assert np.frombuffer(request.raw_input_contents[0], "<f4").tolist() == [1.0, 2.5]
    assert request.raw_input_contents[1] == b"\1\0\0\0x\0\0\0\0"
    with pytest.raises(InputError, match="has no 'word'"):
        bodies.from_table({"a": [1.0]}, metadata(*specs), ASKED)


def test_a_file_of_bytes_is_sent_as_it_is(tmp_path: Path) -> None:
    request = _proto.ModelInferRequest(model_name="delay", model_version="2", id="mine")
    path = tmp_path / "request.bin"
    path.write_bytes(request.SerializeToString())
    assert bodies.from_file(path, Asked("delay")).message == request.SerializeToString()
    found = parsed(bodies.from_file(path, ASKED))
    assert (found.id, found.parameters["tenant"].string_param) == ("mine", "blue")


REST = {"name": "a", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2], [3, 4]]}
WORDS = {"name": "w", "shape": [2], "datatype": "BYTES", "data": ["x", "yz"]}


def test_json_is_taken_as_the_protocol_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "request.json"
    path.write_text(json.dumps({"id": "7", "inputs": [REST, WORDS], "parameters": {"deep": True}}))
    request = parsed(bodies.from_file(path, ASKED))
    assert (request.model_name, request.model_version, request.id) == ("delay", "2", "7")
    assert request.parameters["deep"].bool_param
    assert np.frombuffer(request.raw_input_contents[0], "<f4").tolist() == [1, 2, 3, 4]
    assert request.raw_input_contents[1] == b"\1\0\0\0x\2\0\0\0yz"


def test_json_is_taken_as_protobuf_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "request.json"
    tensor = {"name": "a", "shape": ["2"], "datatype": "FP32", "contents": {"fp32Contents": [1, 2]}}
    for naming in ({}, {"modelName": "delay"}, {"model_name": "delay", "model_version": "2"}):
        path.write_text(json.dumps({**naming, "inputs": [tensor]}))
        request = parsed(bodies.from_file(path, ASKED))
        assert list(request.inputs[0].contents.fp32_contents) == [1, 2]
        assert (request.model_name, request.model_version) == ("delay", "2")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", 'expected an object with a list "inputs"'),
        ('{"inputs": [{"name": "a", "data": []}]}', r"inputs\[0\] needs name, shape, datatype and data"),
        (json.dumps({"inputs": [{**REST, "datatype": "FP99"}]}), "datatype 'FP99', which JSON cannot give"),
        (json.dumps({"inputs": [{**REST, "shape": [3]}]}), r"its data is not FP32 of the shape \[3\]"),
        (json.dumps({"inputs": [{**REST, "data": [["x"]]}]}), "its data is not FP32"),
        (json.dumps({"inputs": [{"name": "a", "sizes": [1]}]}), "no ModelInferRequest in JSON"),
        (json.dumps({"modelName": "other", "inputs": []}), "for the model 'other', not 'delay'"),
        (json.dumps({"model_name": "other", "inputs": [REST]}), "for the model 'other', not 'delay'"),
        (json.dumps({"model_version": "9", "inputs": [REST]}), "for the version '9', not '2'"),
    ],
)
def test_json_that_is_no_request_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "request.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        bodies.from_file(path, ASKED)


def test_files_that_are_no_requests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no file"):
        bodies.from_file(tmp_path / "missing.bin", ASKED)
    path = tmp_path / "request.bin"
    path.write_bytes(b"\xff\xff\xff")
    with pytest.raises(InputError, match=r"no serialized ModelInferRequest.*\.json"):
        bodies.from_file(path, ASKED)


def test_each_body_is_answered_once_before_the_load(address: str, peer: Any) -> None:
    with Client(address) as client:
        told = probe.metadata_of(client, "delay", "")
    table = {"a": [1.0], "b": [2.0], "word": ["x"]}
    sent = [
        bodies.from_table(table, told, Asked("delay")),
        bodies.from_table(table, told, Asked("delay", "1")),
    ]
    answered = probe.answered(address, sent)
    assert [body.message for body in answered] == [body.message for body in sent]
    for body in answered:
        (answer,) = body.answers
        reply = _proto.ModelInferResponse.FromString(answer)
        assert np.frombuffer(reply.raw_output_contents[0], "<f8").tolist() == [3.0]
    refused = bodies.from_table({**table, "a": [-9.0]}, told, Asked("delay"))
    with pytest.raises(StatusError, match="input 'a' is negative"):
        probe.answered(address, [*sent, refused])
