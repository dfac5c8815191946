from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from penstock import _proto
from penstock.bundle.schedule import Schedule
from penstock.errors import UNAVAILABLE, NotFoundError, StatusError
from penstock.models import ForestFacts
from penstock.repository.states import State
from penstock.repository.view import ModelView, RepositoryView, VersionView
from penstock.rpc.inference import EXTENSIONS, ModelInformation

COLUMNS = [("carrier", "BYTES", (-1,)), ("distance", "FP32", (-1,))]
PREDICTION = [("prediction", "FP64", (-1,))]
COUNTERS = {
    "requests": 10, "failures": 2, "rows": 70, "executions": 7, "request_ns": 1000, "queue_ns": 350,
    "decode_ns": 100, "transform_ns": 200, "execute_ns": 300, "encode_ns": 50, "failure_ns": 40,
    "last_unix_ms": 1234567, "cancelled": 3,
}  # fmt: skip
SCHEDULE = Schedule(2000, 500, 496, True, 32, 256, 0, 256, "on the loops up to 496 rows")
FOREST = ForestFacts("LightGBM", "binary sigmoid:1", "of the objective", 500, 31, 30, 1)
RUNS = [(1, 4, 40, 60, 10), (16, 3, 160, 240, 40)]


@dataclass
class Core:
    inputs: list[tuple[str, str, tuple[int, ...]]] = field(default_factory=lambda: COLUMNS)
    outputs: list[tuple[str, str, tuple[int, ...]]] = field(default_factory=lambda: PREDICTION)
    optional_outputs: list[tuple[str, str, tuple[int, ...]]] = field(default_factory=list)

    def counters(self) -> dict[str, int]:
        return dict(COUNTERS)

    def runs(self) -> list[tuple[int, int, int, int, int]]:
        return list(RUNS)


def loaded(core: Core, *, kind: str = "lightgbm", max_rows: int = 0) -> Any:
    manifest = SimpleNamespace(model=SimpleNamespace(kind=kind, file="model.txt"), max_rows=max_rows)
    columns = tuple(name for name, _, _ in core.inputs)
    return SimpleNamespace(
        core=core,
        manifest=manifest,
        digest="ab12",
        description="LightGBM",
        matrix_columns=columns,
        forest=FOREST if kind == "lightgbm" else None,
        schedule=SCHEDULE,
    )


def information(*models: ModelView, max_message_bytes: int = 1 << 20) -> ModelInformation:
    view = RepositoryView({model.name: model for model in models})
    return ModelInformation(lambda: view, max_message_bytes=max_message_bytes)


def model(**versions: Any) -> ModelView:
    """A model `delay` of versions "1", "2", ... where a text is why it is not ready; the alias champion is
    "1".
    """
    seen = {
        name.removeprefix("v"): VersionView(
            "delay",
            name.removeprefix("v"),
            State.FAILED if isinstance(what, str) else State.READY,
            what if isinstance(what, str) else "",
            None if isinstance(what, str) else what,
        )
        for name, what in versions.items()
    }
    ready = [name for name, version in seen.items() if version.loaded is not None]
    return ModelView("delay", ready[-1] if ready else "", {"champion": "1"}, seen)


def metadata(info: ModelInformation, name: str = "delay", version: str = "") -> Any:
    return info.model_metadata(_proto.ModelMetadataRequest(name=name, version=version))


def config(info: ModelInformation) -> Any:
    return info.model_config(_proto.ModelConfigRequest(name="delay")).config


def test_the_server_names_itself_and_exactly_the_extensions_that_it_serves() -> None:
    reply = information().server_metadata(_proto.ServerMetadataRequest())
    assert reply.name == "penstock"
    assert reply.version
    assert (
        tuple(reply.extensions)
        == EXTENSIONS
        == (
            "model_repository",
            "model_configuration",
            "statistics",
            "schedule_policy",
            "parameters",
        )
    )


def test_metadata_gives_tensors_as_they_travel_and_the_versions_that_are_ready() -> None:
    reply = metadata(information(model(v1=loaded(Core()), v2="corrupt", v3=loaded(Core()))))
    assert MessageToDict(reply) == {
        "name": "delay",
        "versions": ["1", "3"],
        "platform": "lightgbm",
        "inputs": [
            {"name": "carrier", "datatype": "BYTES", "shape": ["-1"]},
            {"name": "distance", "datatype": "FP32", "shape": ["-1"]},
        ],
        "outputs": [{"name": "prediction", "datatype": "FP64", "shape": ["-1"]}],
    }


def test_an_empty_version_is_the_default_and_aliases_are_versions_too() -> None:
    old, new = loaded(Core([("old", "FP32", (-1,))])), loaded(Core([("new", "FP32", (-1,))]))
    info = information(model(v1=old, v2=new))
    assert metadata(info).inputs[0].name == "new"
    assert metadata(info, version="champion").inputs[0].name == "old"
    assert metadata(info, version="1").inputs[0].name == "old"


def test_unknown_names_are_not_found_and_say_what_there_is() -> None:
    info = information(model(v1=loaded(Core())))
    with pytest.raises(
        NotFoundError, match=r"^model 'fare' is not hosted here; RepositoryIndex lists what is$"
    ):
        metadata(info, "fare")
    with pytest.raises(
        NotFoundError, match=r"^model 'delay' has no version or alias '9'; it has 1, champion$"
    ):
        metadata(info, version="9")


def test_a_version_that_is_not_ready_is_unavailable_and_says_why() -> None:
    info = information(model(v1="corrupt LightGBM text", v2="loading"))
    for version, words in (
        ("1", "model 'delay' version '1' is not ready: corrupt LightGBM text"),
        ("champion", "model 'delay' version '1' is not ready: corrupt LightGBM text"),
        ("", "model 'delay' has no version ready: loading"),
    ):
        with pytest.raises(StatusError, match=f"^{words}$") as refused:
            metadata(info, version=version)
        assert refused.value.status == UNAVAILABLE


def test_config_leaves_the_rows_out_so_that_batch_and_dims_are_a_shape_of_the_metadata() -> None:
    core = Core([*COLUMNS, ("features", "FP32", (-1, 12))], [("scores", "FP64", (-1, 3))])
    info = information(model(v1=loaded(core, max_rows=256)))
    found = config(info)
    assert (found.name, found.platform, found.backend) == ("delay", "lightgbm", "lightgbm")
    assert found.max_batch_size == 256
    assert [(i.name, list(i.dims)) for i in found.input] == [
        ("carrier", []),
        ("distance", []),
        ("features", [12]),
    ]
    shapes = {tensor.name: list(tensor.shape) for tensor in metadata(info).inputs}
    assert {i.name: [-1, *i.dims] for i in found.input} == shapes
    assert [(o.name, list(o.dims)) for o in found.output] == [("scores", [3])]
    assert MessageToDict(found)["input"][0]["dataType"] == "TYPE_STRING"
    assert found.parameters["penstock_digest"].string_value == "ab12"
    told = json.loads(found.parameters["penstock_schedule"].string_value)
    assert (told["row_ns"], told["inline_rows"], told["min_batch_rows"]) == (500, 496, 32)
    assert json.loads(found.parameters["penstock_aliases"].string_value) == {"champion": "1"}


def test_config_names_what_contributions_are_of_where_there_are_any() -> None:
    core = Core(optional_outputs=[("contributions", "FP64", (-1, 3))])
    info = information(model(v1=loaded(core)))
    names = config(info).parameters["penstock_contributions"].string_value
    assert json.loads(names) == ["carrier", "distance"]
    assert [output.name for output in metadata(info).outputs] == ["prediction"]
    assert "penstock_contributions" not in config(information(model(v1=loaded(Core())))).parameters


def test_config_says_what_runs_the_model_and_of_a_forest_what_it_is() -> None:
    parameters = config(information(model(v1=loaded(Core())))).parameters
    assert parameters["penstock_executor"].string_value == "LightGBM"
    told = json.loads(parameters["penstock_forest"].string_value)
    assert (told["origin"], told["trees"], told["leaves"], told["features"]) == ("LightGBM", 500, 31, 30)
    assert "penstock_forest" not in config(information(model(v1=loaded(Core(), kind="onnx")))).parameters


def test_a_model_without_rows_first_has_no_batch_dimension() -> None:
    core = Core([("image", "FP32", (3, 224, 224))], [("label", "INT64", (1,))])
    found = config(information(model(v1=loaded(core, kind="onnx"))))
    assert (found.platform, found.backend) == ("onnxruntime_onnx", "onnxruntime")
    assert found.max_batch_size == 0
    assert list(found.input[0].dims) == [3, 224, 224]
    assert list(found.output[0].dims) == [1]


def test_without_a_limit_the_largest_batch_is_what_one_message_could_hold() -> None:
    core = Core([("a", "FP64", (-1, 10)), ("b", "BYTES", (-1,))])
    found = config(information(model(v1=loaded(core)), max_message_bytes=8400))
    assert found.max_batch_size == 100


@pytest.mark.parametrize(
    "datatype",
    [
        "BOOL",
        "UINT8",
        "UINT16",
        "UINT32",
        "UINT64",
        "INT8",
        "INT16",
        "INT32",
        "INT64",
        "FP16",
        "FP32",
        "FP64",
        "BF16",
    ],
)
def test_every_datatype_has_its_name_in_the_config(datatype: str) -> None:
    found = config(information(model(v1=loaded(Core([("x", datatype, (-1,))])))))
    assert MessageToDict(found)["input"][0]["dataType"] == f"TYPE_{datatype}"


def test_statistics_count_rows_batches_and_requests_in_tritons_sense() -> None:
    info = information(model(v1=loaded(Core()), v2="corrupt"))
    (found,) = info.model_statistics(_proto.ModelStatisticsRequest()).model_stats
    assert (found.name, found.version, found.last_inference) == ("delay", "1", 1234567)
    assert (found.inference_count, found.execution_count) == (70, 7)
    stats = found.inference_stats
    stages = {name: (part.count, part.ns) for part, name in ((getattr(stats, n), n) for n in STAGES)}
    assert stages == {
        "success": (10, 1000),
        "fail": (2, 40),
        "queue": (10, 350),
        "compute_input": (10, 300),
        "compute_infer": (10, 300),
        "compute_output": (10, 50),
    }
    assert stages["success"][1] == sum(stages[name][1] for name in STAGES[2:])
    batches = [(s.batch_size, s.compute_infer.count, s.compute_infer.ns) for s in found.batch_stats]
    assert batches == [(1, 4, 60), (16, 3, 240)]
    assert sum(s.compute_output.count for s in found.batch_stats) == found.execution_count
    responses = found.response_stats["0"]
    assert (responses.success.count, responses.fail.count, responses.cancel.count) == (10, 2, 3)


STAGES = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")


def test_statistics_are_of_all_of_a_model_or_of_one_version() -> None:
    info = information(model(v1=loaded(Core()), v2=loaded(Core())))

    def versions(**asked: str) -> list[str]:
        return [s.version for s in info.model_statistics(_proto.ModelStatisticsRequest(**asked)).model_stats]

    assert versions() == versions(name="delay") == ["1", "2"]
    assert versions(name="delay", version="champion") == ["1"]
    with pytest.raises(NotFoundError):
        versions(name="fare")
