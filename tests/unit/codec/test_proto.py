"""penstock._proto: message classes and descriptors from a pool of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from penstock import _proto
from penstock.errors import NotFoundError


def test_message_classes_are_attributes_by_their_short_name() -> None:
    request = _proto.ModelInferRequest(
        model_name="delay", parameters={"priority": _proto.InferParameter(int64_param=3)}
    )
    again = _proto.ModelInferRequest.FromString(request.SerializeToString())
    assert again == request
    assert _proto.ModelInferRequest is _proto.message_class("inference.ModelInferRequest")
    assert _proto.HealthCheckResponse.SERVING == 1


def test_both_reflection_versions_are_there_and_a_clashing_name_says_how_to_choose() -> None:
    assert _proto.reflection_v1.ErrorResponse.DESCRIPTOR.full_name == "grpc.reflection.v1.ErrorResponse"
    assert (
        _proto.reflection_v1alpha.ErrorResponse.DESCRIPTOR.full_name
        == "grpc.reflection.v1alpha.ErrorResponse"
    )
    with pytest.raises(AttributeError, match=r"several packages.*grpc\.reflection\.v1\.ErrorResponse"):
        _ = _proto.ErrorResponse


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(_proto, "ModelGuessRequest")
    with pytest.raises(NotFoundError, match=r"inference\.ModelGuessRequest"):
        _proto.message_class("inference.ModelGuessRequest")


def test_dir_lists_the_message_classes() -> None:
    assert {"ModelInferRequest", "HealthCheckRequest", "reflection_v1", "file_descriptors"} <= set(
        dir(_proto)
    )
    assert "ErrorResponse" not in dir(_proto)


def test_the_default_pool_stays_untouched_beside_tritonclient() -> None:
    program = (
        "import penstock._proto as p; p.ModelInferRequest;"
        "from google.protobuf import descriptor_pool as d;"
        "from tritonclient.grpc import service_pb2 as t;"
        "assert t.ModelInferRequest is not p.ModelInferRequest;"
        "assert t.ModelInferRequest.FromString(p.ModelInferRequest(id='7').SerializeToString()).id == '7';"
        "d.Default().FindFileByName('grpc_service.proto')\n"
        "try: d.Default().FindFileByName('open_inference.proto')\n"
        "except KeyError: print('untouched')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "untouched"


@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        ("inference.GRPCInferenceService", "open_inference.proto"),
        ("inference.GRPCInferenceService.ModelInfer", "open_inference.proto"),
        ("inference.ModelInferRequest", "open_inference.proto"),
        ("inference.ModelInferRequest.InferInputTensor", "open_inference.proto"),
        ("inference.ModelInferRequest.id", "open_inference.proto"),
        ("inference.ModelConfig", "model_config.proto"),
        ("inference.DataType", "model_config.proto"),
        ("grpc.health.v1.Health.Watch", "grpc/health/v1/health.proto"),
        ("grpc.reflection.v1.ServerReflection", "grpc/reflection/v1/reflection.proto"),
        ("grpc.reflection.v1alpha.ServerReflection", "grpc/reflection/v1alpha/reflection.proto"),
    ],
)
def test_a_symbol_is_found_in_the_file_that_declares_it(symbol: str, file: str) -> None:
    assert _proto.file_containing_symbol(symbol) == file


@pytest.mark.parametrize(
    "symbol",
    ["", ".", "inference", "inference.Nothing", "inference.GRPCInferenceService.Guess", "nothing.at.all"],
)
def test_an_unknown_symbol_is_not_found(symbol: str) -> None:
    with pytest.raises(NotFoundError):
        _proto.file_containing_symbol(symbol)


def test_a_file_comes_with_its_imports_and_a_fresh_pool_can_use_them() -> None:
    files = _proto.file_with_imports("open_inference.proto")
    names = [descriptor_pb2.FileDescriptorProto.FromString(data).name for data in files]
    assert names == ["open_inference.proto", "model_config.proto"]
    pool = descriptor_pool.DescriptorPool()
    for data in reversed(files):
        pool.AddSerializedFile(data)
    assert "ModelInfer" in pool.FindServiceByName("inference.GRPCInferenceService").methods_by_name
    with pytest.raises(NotFoundError, match=r"nothing\.proto"):
        _proto.file_with_imports("nothing.proto")
