"""A call that must be answered, for tests that speak frame by frame."""

from __future__ import annotations

from urllib.parse import unquote

from generated_stubs import Generated
from infer_requests import network_request

from wire_peer import Answer, prefixed


def good_body(generated: Generated) -> bytes:
    """A request of one row for the sample `network`, with its prefix."""
    request, _ = network_request(generated.messages)
    request.id = "wire"
    return prefixed(request.SerializeToString())


def assert_good(answer: Answer, generated: Generated) -> None:
    """It is the answer to good_body()."""
    assert answer.headers[":status"] == "200"
    assert answer.headers["content-type"].startswith("application/grpc")
    assert answer.status == 0, unquote(answer.message)
    (message,) = answer.messages
    response = generated.messages.ModelInferResponse.FromString(message)
    assert response.id == "wire"
    assert list(response.outputs[0].shape) == [1, 4]
