"""The peer: an inference server as one would write it in Python, on grpcio's asyncio server.

It answers ModelInfer and ServerReady for ONNX and LightGBM files, each on one thread, as Penstock runs them.
Messages are parsed by protobuf's C implementation (upb), tensors are views of the request's bytes, and the
model runs on the event loop: where it takes some tens of microseconds, a hop to a thread pool costs more than
it gives.

    python benchmarks/peers/grpcio_asyncio.py --port 9001 --onnx mlp=mlp.onnx --lightgbm gbm=gbm.txt
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Callable
from typing import Any

import grpc
import lightgbm
import numpy as np
import onnxruntime

from penstock import _proto

DTYPES = {"FP32": np.float32, "FP64": np.float64}
Predict = Callable[[np.ndarray], tuple[str, str, np.ndarray]]


def onnx_predict(path: str) -> Predict:
    """Output name, datatype and values of an ONNX model with one input and one FP32 output."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (source,), (target,) = session.get_inputs(), session.get_outputs()
    outputs, run = [target.name], session.run
    return lambda features: (target.name, "FP32", run(outputs, {source.name: features})[0])


def lightgbm_predict(path: str) -> Predict:
    """The same of a LightGBM model."""
    booster = lightgbm.Booster(model_file=path)
    return lambda features: ("prediction", "FP64", booster.predict(features, num_threads=1))


class Inference:
    """The service's methods; runs on the event loop's thread only."""

    def __init__(self, models: dict[str, Predict]) -> None:
        self._models = models

    async def infer(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        predict = self._models.get(request.model_name)
        if predict is None:
            return await context.abort(grpc.StatusCode.NOT_FOUND, f"no model {request.model_name!r}")
        if len(request.inputs) != 1 or len(request.raw_input_contents) != 1:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "expected one input with raw contents")
        tensor = request.inputs[0]
        dtype = DTYPES.get(tensor.datatype)
        if dtype is None:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"no datatype {tensor.datatype!r}")
        features = np.frombuffer(request.raw_input_contents[0], dtype).reshape(tensor.shape)
        name, datatype, values = predict(features)
        response = _proto.ModelInferResponse(model_name=request.model_name, model_version="1", id=request.id)
        response.outputs.add(name=name, datatype=datatype, shape=values.shape)
        response.raw_output_contents.append(values.tobytes())
        return response

    async def ready(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        return _proto.ServerReadyResponse(ready=True)

    def handlers(self) -> grpc.GenericRpcHandler:
        """The two methods under the protocol's service name."""
        methods = {
            "ModelInfer": (self.infer, _proto.ModelInferRequest, _proto.ModelInferResponse),
            "ServerReady": (self.ready, _proto.ServerReadyRequest, _proto.ServerReadyResponse),
        }
        return grpc.method_handlers_generic_handler(
            "inference.GRPCInferenceService",
            {
                name: grpc.unary_unary_rpc_method_handler(
                    behaviour,
                    request_deserializer=request.FromString,
                    response_serializer=response.SerializeToString,
                )
                for name, (behaviour, request, response) in methods.items()
            },
        )


async def serve(port: int, models: dict[str, Predict]) -> None:
    """Serves until SIGTERM, then lets the requests in flight finish."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([Inference(models).handlers()])
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await server.stop(grace=1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--onnx", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--lightgbm", action="append", default=[], metavar="NAME=FILE")
    arguments = parser.parse_args()
    models: dict[str, Predict] = {}
    for load, given in ((onnx_predict, arguments.onnx), (lightgbm_predict, arguments.lightgbm)):
        for pair in given:
            name, _, path = pair.partition("=")
            models[name] = load(path)
    asyncio.run(serve(arguments.port, models))


if __name__ == "__main__":
    main()
