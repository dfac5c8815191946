"""Ray Serve behind its own gRPC proxy: one deployment that answers the Open Inference Protocol.

The proxy needs the protocol's generated modules, which are made from proto/ at the start.

    build/peers/ray_serve/venv/bin/python benchmarks/peers/ray_serve_server.py --port 9001 --http-port 9002 \
        --folder build/peers/ray_serve --onnx mlp=mlp.onnx --lightgbm gbm=gbm.txt
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnxruntime
import ray
from grpc_tools import protoc
from ray import serve
from ray.serve.config import ProxyLocation, gRPCOptions

PROTO = Path(__file__).resolve().parents[2] / "proto"
Predict = Callable[[np.ndarray], tuple[str, np.ndarray]]


def generate(folder: Path) -> None:
    """open_inference_pb2.py and open_inference_pb2_grpc.py, where this process and Ray's find them."""
    folder.mkdir(parents=True, exist_ok=True)
    arguments = ["protoc", f"-I{PROTO}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    if protoc.main([*arguments, *(str(path) for path in sorted(PROTO.glob("*.proto")))]):
        sys.exit(f"ray_serve: {PROTO} could not be compiled")
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


def onnx_predict(path: str) -> Predict:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (source,), (target,) = session.get_inputs(), session.get_outputs()
    return lambda features: (target.name, session.run([target.name], {source.name: features})[0])


def lightgbm_predict(path: str) -> Predict:
    booster = lightgbm.Booster(model_file=path)
    return lambda features: ("prediction", booster.predict(features, num_threads=1))


class OpenInference:
    """The deployment. Its methods have the names of the protocol's calls."""

    def __init__(self, onnx: list[str], boosters: list[str]) -> None:
        self._protocol = importlib.import_module("open_inference_pb2")
        self._models: dict[str, Predict] = {}
        for load, pairs in ((onnx_predict, onnx), (lightgbm_predict, boosters)):
            for pair in pairs:
                name, path = pair.split("=", 1)
                self._models[name] = load(path)

    async def ServerReady(self, request: Any) -> Any:  # noqa: N802
        return self._protocol.ServerReadyResponse(ready=True)

    async def ModelInfer(self, request: Any) -> Any:  # noqa: N802
        tensor = request.inputs[0]
        dtype = {"FP32": np.float32, "FP64": np.float64}[tensor.datatype]
        features = np.frombuffer(request.raw_input_contents[0], dtype).reshape(tensor.shape)
        name, values = self._models[request.model_name](features)
        response = self._protocol.ModelInferResponse(model_name=request.model_name, id=request.id)
        datatype = "FP64" if values.dtype == np.float64 else "FP32"
        response.outputs.add(name=name, datatype=datatype, shape=values.shape)
        response.raw_output_contents.append(values.tobytes())
        return response


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--http-port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="for generated modules and Ray's files")
    parser.add_argument("--onnx", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--lightgbm", action="append", default=[], metavar="NAME=FILE")
    arguments = parser.parse_args()
    generate(arguments.folder.resolve() / "generated")
    ray.init(
        address="local", num_cpus=4, include_dashboard=False, configure_logging=True, log_to_driver=False
    )
    try:
        serve.start(
            proxy_location=ProxyLocation.HeadOnly,
            http_options={"host": "127.0.0.1", "port": arguments.http_port},
            grpc_options=gRPCOptions(
                port=arguments.port,
                grpc_servicer_functions=[
                    "open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server"
                ],
            ),
            logging_config={"enable_access_log": False},
        )
        deployment = serve.deployment(OpenInference, max_ongoing_requests=1000)
        serve.run(deployment.bind(arguments.onnx, arguments.lightgbm), name="open_inference")
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())  # ray.init() has put its own in place
        stop.wait()
        serve.shutdown()
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
