"""The comparison with peers: which way a ratio goes, what counts as an answer."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

from compare import BUSY, SINGLE, Endpoint, Row, WrongAnswerError, address, values_of
from models import Model
from penstock import _proto
from process import echo_server


def runs(*values: float) -> list[dict[str, float]]:
    return [{"throughput": value, "p50": value, "p99": 2 * value} for value in values]


def test_more_requests_a_second_and_less_latency_are_both_better() -> None:
    assert Row("peer", "gbm", BUSY, runs(100, 90), runs(10, 30)).ratios == [10, 3]
    assert Row("peer", "gbm", SINGLE, runs(10, 30), runs(100, 90)).ratios == [10, 3]


def test_an_endpoint_is_a_name_and_an_address() -> None:
    assert address("Triton=localhost:8001") == ("Triton", "localhost:8001")
    for wrong in ("localhost:8001", "Triton=", "Triton=8001", "=a:1"):
        with pytest.raises(argparse.ArgumentTypeError, match="NAME=HOST:PORT"):
            address(wrong)


def answer(*, raw: bool) -> _proto.ModelInferResponse:
    message = _proto.ModelInferResponse(model_name="gbm")
    output = message.outputs.add(name="predict", datatype="FP64", shape=[1, 1])
    if raw:
        message.raw_output_contents.append(np.array([0.25]).tobytes())
    else:
        output.contents.fp64_contents.append(0.25)
    return message


@pytest.mark.parametrize("raw", [True, False])
def test_values_are_read_wherever_the_server_put_them(raw: bool) -> None:
    np.testing.assert_array_equal(values_of(answer(raw=raw)), [0.25])


def test_a_wrong_answer_is_refused_and_a_right_one_taken(tmp_path: Path) -> None:
    row = np.zeros((1, 30), np.float32)
    with echo_server(answer(raw=True).SerializeToString(), tmp_path / "echo.log") as server:
        endpoint = Endpoint("loop", server.target)
        endpoint.check(Model("gbm", tmp_path, "features", row, np.array([0.25])))
        for expected in ([0.26], [0.25, 0.25]):
            with pytest.raises(WrongAnswerError, match=r"loop answers \[0.25\] for gbm"):
                endpoint.check(Model("gbm", tmp_path, "features", row, np.array(expected)))
    with pytest.raises(WrongAnswerError, match="does not answer for gbm: UNAVAILABLE"):
        endpoint.check(Model("gbm", tmp_path, "features", row, np.array([0.25])))
