"""Messages and stubs that grpcio-tools generates from proto/, apart from those of other packages.

tritonclient's generated code declares the same names in protobuf's default pool, which takes each only once;
this code goes to a pool of its own.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from unittest import mock

from google.protobuf import descriptor_pool
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[2]


class Generated:
    """`messages` and `services` of open_inference.proto; `reflection` and its stubs of the v1 package."""

    def __init__(self, folder: Path) -> None:
        proto = ROOT / "proto"
        files = ["open_inference.proto", "model_config.proto", "grpc/reflection/v1/reflection.proto"]
        outputs = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
        assert protoc.main(["protoc", f"-I{proto}", *outputs, *files]) == 0
        # grpcio's own packages are called `grpc`, which hides a folder of that name.
        hidden = folder / "grpc" / "reflection" / "v1"
        for file in hidden.glob("*.py"):
            text = file.read_text().replace("from grpc.reflection.v1 import", "import")
            (folder / f"v1_{file.name}").write_text(
                text.replace("import reflection_pb2", "import v1_reflection_pb2")
            )
        pool = descriptor_pool.DescriptorPool()
        sys.path.insert(0, str(folder))
        try:
            with mock.patch.object(descriptor_pool, "Default", return_value=pool):
                self.messages = _fresh("open_inference_pb2")
                self.services = _fresh("open_inference_pb2_grpc")
                self.reflection = _fresh("v1_reflection_pb2")
                self.reflection_services = _fresh("v1_reflection_pb2_grpc")
        finally:
            sys.path.remove(str(folder))


def _fresh(name: str) -> ModuleType:
    return importlib.import_module(name)
