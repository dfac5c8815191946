"""Server reflection, grpc.reflection.v1 and v1alpha: the two differ in nothing but their package."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from google.protobuf.message import Message

from penstock import _proto
from penstock.errors import INVALID_ARGUMENT, NOT_FOUND, NotFoundError
from penstock.rpc.dispatch import Method

_SERVICE = "ServerReflection"
VERSIONS = ("grpc.reflection.v1", "grpc.reflection.v1alpha")


class Reflection:
    """Answers about the descriptors that the package holds; `services` are those that the port serves."""

    def __init__(self, services: Sequence[str]) -> None:
        self._services = sorted({*services, *(f"{package}.{_SERVICE}" for package in VERSIONS)})

    def methods(self) -> dict[str, Method]:
        """By path."""
        classes = {VERSIONS[0]: _proto.reflection_v1, VERSIONS[1]: _proto.reflection_v1alpha}
        return {
            f"/{package}.{_SERVICE}/ServerReflectionInfo": Method(
                classes[package].ServerReflectionRequest, partial(self.answer, classes[package]), stream=True
            )
            for package in VERSIONS
        }

    def answer(self, package: Any, request: Any) -> Message:
        """One answer to one message of the stream; what is not found is an answer too."""
        reply = package.ServerReflectionResponse(valid_host=request.host, original_request=request)
        asked = request.WhichOneof("message_request")
        try:
            if asked == "list_services":
                for name in self._services:
                    reply.list_services_response.service.add(name=name)
            elif asked == "file_by_filename":
                self._add_files(reply, request.file_by_filename)
            elif asked == "file_containing_symbol":
                self._add_files(reply, _proto.file_containing_symbol(request.file_containing_symbol))
            elif asked in ("file_containing_extension", "all_extension_numbers_of_type"):
                raise NotFoundError("the files served here are proto3 and declare no extensions")
            else:
                reply.error_response.error_code = INVALID_ARGUMENT
                reply.error_response.error_message = "the message asks for nothing that reflection knows"
        except NotFoundError as error:
            reply.error_response.error_code = NOT_FOUND
            reply.error_response.error_message = str(error)
        done: Message = reply
        return done

    @staticmethod
    def _add_files(reply: Any, name: str) -> None:
        reply.file_descriptor_response.file_descriptor_proto.extend(_proto.file_with_imports(name))
