"""KServe's Python server with a custom Model for each file, as its documentation has one write them.

    build/peers/kserve/venv/bin/python benchmarks/peers/kserve_server.py --port 9001 --http-port 9002 \
        --onnx mlp=mlp.onnx --lightgbm gbm=gbm.txt
"""

from __future__ import annotations

import argparse
import logging

import lightgbm
import numpy as np
import onnxruntime
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer


class ArrayModel(Model):
    """One input, one output."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.ready = True

    def compute(self, features: np.ndarray) -> tuple[str, np.ndarray]:
        """The output's name and values."""
        raise NotImplementedError

    async def predict(self, payload: InferRequest, headers=None, response_headers=None) -> InferResponse:
        """What a ModelInfer call is answered with."""
        name, values = self.compute(payload.inputs[0].as_numpy())
        output = InferOutput(name, list(values.shape), "FP64" if values.dtype == np.float64 else "FP32")
        output.set_data_from_numpy(values)
        return InferResponse(payload.id, self.name, [output])


class OnnxModel(ArrayModel):
    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        (source,), (target,) = self._session.get_inputs(), self._session.get_outputs()
        self._input, self._output = source.name, target.name

    def compute(self, features: np.ndarray) -> tuple[str, np.ndarray]:
        return self._output, self._session.run([self._output], {self._input: features})[0]


class LightgbmModel(ArrayModel):
    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        self._booster = lightgbm.Booster(model_file=path)

    def compute(self, features: np.ndarray) -> tuple[str, np.ndarray]:
        return "prediction", self._booster.predict(features, num_threads=1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--http-port", type=int, required=True)
    parser.add_argument("--onnx", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--lightgbm", action="append", default=[], metavar="NAME=FILE")
    arguments = parser.parse_args()
    models = [OnnxModel(*pair.split("=", 1)) for pair in arguments.onnx]
    models += [LightgbmModel(*pair.split("=", 1)) for pair in arguments.lightgbm]
    server = ModelServer(
        http_port=arguments.http_port,
        grpc_port=arguments.port,
        enable_latency_logging=False,
        grace_period=1,
    )
    logging.getLogger("kserve").setLevel(logging.WARNING)  # a line for each request otherwise
    server.start(models)


if __name__ == "__main__":
    main()
