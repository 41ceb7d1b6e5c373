"""The wire contract with its comments: what protoc keeps of the `.proto` files when asked for source info."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from scripts.generate_api import PACKAGE_PATH, PROTO_FOLDER, ProtocRefusedError, include_folders

# Field numbers of google/protobuf/descriptor.proto: the paths of source info are made of them.
_MESSAGE, _ENUM, _SERVICE = 4, 5, 6
_METHOD_OF_SERVICE = 2
_FIELD_OF_MESSAGE, _NESTED_MESSAGE, _NESTED_ENUM = 2, 3, 4
_VALUE_OF_ENUM = 2
_SYNTAX = 12
_SCALARS: Final = {
    number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items()
}


@dataclass(frozen=True)
class FieldText:
    """One field: its type as written, and its comment."""

    name: str
    number: int
    type_name: str
    group: str
    comment: str


@dataclass(frozen=True)
class MessageText:
    """One message, nested ones named with their parent: ``ImportListRequest.Start``."""

    name: str
    comment: str
    fields: tuple[FieldText, ...]


@dataclass(frozen=True)
class EnumText:
    """One enumeration with its values."""

    name: str
    comment: str
    values: tuple[tuple[str, int, str], ...]


@dataclass(frozen=True)
class MethodText:
    """One RPC; `path` is its full name, ``/package.Service/Method``."""

    name: str
    path: str
    comment: str
    request: str
    response: str
    request_streams: bool
    response_streams: bool


@dataclass(frozen=True)
class ServiceText:
    """One service."""

    name: str
    comment: str
    methods: tuple[MethodText, ...]


@dataclass(frozen=True)
class FileText:
    """One `.proto` file."""

    path: str
    package: str
    comment: str
    services: tuple[ServiceText, ...]
    messages: tuple[MessageText, ...]
    enums: tuple[EnumText, ...]


def read_contract(proto_folder: Path = PROTO_FOLDER) -> list[FileText]:
    """Read every file of the contract, in the order of their paths.

    Raises:
        ProtocRefusedError: protoc did not accept the files.
    """
    sources = sorted(
        str(path.relative_to(proto_folder)) for path in (proto_folder / PACKAGE_PATH).rglob("*.proto")
    )
    with tempfile.TemporaryDirectory(prefix="tanqiao-docs-") as temporary:
        image = Path(temporary) / "contract.binpb"
        command = [
            *(sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={proto_folder}"),
            *(f"--proto_path={folder}" for folder in include_folders()),
            *("--include_source_info", f"--descriptor_set_out={image}", *sources),
        ]
        answer = subprocess.run(command, check=False, capture_output=True, text=True)
        if answer.returncode != 0:
            raise ProtocRefusedError(answer.stderr.strip())
        files = FileDescriptorSet.FromString(image.read_bytes()).file
    return [_Reader(file).read() for file in files]


class _Reader:
    def __init__(self, file: FileDescriptorProto) -> None:
        self._file = file
        self._comments: Mapping[tuple[int, ...], str] = {
            tuple(place.path): " ".join(place.leading_comments.split())
            for place in file.source_code_info.location
        }

    def read(self) -> FileText:
        messages: list[MessageText] = []
        enums: list[EnumText] = []
        for index, message in enumerate(self._file.message_type):
            self._collect(message, (_MESSAGE, index), "", messages, enums)
        enums += [self._enum(enum, (_ENUM, index), "") for index, enum in enumerate(self._file.enum_type)]
        return FileText(
            self._file.name,
            self._file.package,
            self._comment((_SYNTAX,)),
            tuple(self._services()),
            tuple(messages),
            tuple(enums),
        )

    def _comment(self, path: Sequence[int]) -> str:
        return self._comments.get(tuple(path), "")

    def _services(self) -> Iterator[ServiceText]:
        for index, service in enumerate(self._file.service):
            methods = tuple(
                MethodText(
                    method.name,
                    f"/{self._file.package}.{service.name}/{method.name}",
                    self._comment((_SERVICE, index, _METHOD_OF_SERVICE, number)),
                    method.input_type.rpartition(".")[2],
                    method.output_type.rpartition(".")[2],
                    method.client_streaming,
                    method.server_streaming,
                )
                for number, method in enumerate(service.method)
            )
            yield ServiceText(service.name, self._comment((_SERVICE, index)), methods)

    def _collect(
        self,
        message: DescriptorProto,
        path: tuple[int, ...],
        parent: str,
        messages: list[MessageText],
        enums: list[EnumText],
    ) -> None:
        name = parent + message.name
        maps = {
            f".{self._file.package}.{name}.{nested.name}": nested
            for nested in message.nested_type
            if nested.options.map_entry
        }
        fields = tuple(
            FieldText(
                field.name,
                field.number,
                self._type(field, maps),
                message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else "",
                self._comment((*path, _FIELD_OF_MESSAGE, index)),
            )
            for index, field in enumerate(message.field)
        )
        messages.append(MessageText(name, self._comment(path), fields))
        for index, nested in enumerate(message.nested_type):
            if not nested.options.map_entry:
                self._collect(nested, (*path, _NESTED_MESSAGE, index), f"{name}.", messages, enums)
        for index, enum in enumerate(message.enum_type):
            enums.append(self._enum(enum, (*path, _NESTED_ENUM, index), f"{name}."))

    def _enum(self, enum: EnumDescriptorProto, path: tuple[int, ...], parent: str) -> EnumText:
        values = tuple(
            (value.name, value.number, self._comment((*path, _VALUE_OF_ENUM, index)))
            for index, value in enumerate(enum.value)
        )
        return EnumText(parent + enum.name, self._comment(path), values)

    def _type(self, field: FieldDescriptorProto, maps: Mapping[str, DescriptorProto]) -> str:
        entry = maps.get(field.type_name)
        if entry is not None:
            return f"map<{', '.join(self._type(part, {}) for part in entry.field)}>"
        name = self._local(field.type_name) if field.type_name else _SCALARS[field.type]
        return f"repeated {name}" if field.label == FieldDescriptorProto.LABEL_REPEATED else name

    def _local(self, type_name: str) -> str:
        own = f".{self._file.package}."
        if type_name.startswith(own):
            return type_name.removeprefix(own)
        return type_name.removeprefix(".").removeprefix("tanqiao.api.")
