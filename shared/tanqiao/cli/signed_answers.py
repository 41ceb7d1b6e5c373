"""`--signed FILE`: what the bridge said is kept as it signed it, one envelope a line."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Final, Self, TextIO

import click
from google.protobuf import json_format

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError

with_signed: Final = click.option(
    "--signed",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep the answers as the bridge signed them in FILE, one envelope (JSON) a line.",
)


class SignedAnswers:
    """The file of the option, or nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        """Open the file before anybody is asked."""
        try:
            self._file = None if self._path is None else self._path.open("w", encoding="utf-8")
        except OSError as error:
            detail = f"{self._path}: {error.strerror}"
            raise DomainError("FIELD_INVALID", field="--signed", detail=detail) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        if self._file is not None:
            self._file.close()

    def keep(self, envelope: envelope_pb2.Envelope) -> None:
        """Write one as gRPC tools print it, which is what `docs/examples/verify_envelope.py` reads."""
        if self._file is not None:
            self._file.write(json_format.MessageToJson(envelope, indent=None, ensure_ascii=False) + "\n")
