"""The node's own secret, a file beside its keys."""

from __future__ import annotations

import secrets as random
from pathlib import Path
from typing import Final

from tanqiao.kernel.errors import DomainError
from tanqiao.signing.keyring import read_private, write_private
from tanqiao_region.application.secrets import SECRET_BYTES

SECRET_FILE: Final = "node.secret"  # noqa: S105 - the name of a file


def open_secret(keys_directory: Path) -> bytes:
    """Read the node's secret, made at the first start.

    Raises:
        DomainError: KEY_FILE_PERMISSIONS, KEY_FILE_INVALID.
    """
    path = keys_directory / SECRET_FILE
    if not path.exists():
        write_private(path, random.token_bytes(SECRET_BYTES))
    secret = read_private(path)
    if len(secret) != SECRET_BYTES:
        raise DomainError("KEY_FILE_INVALID", file=path, detail=f"{SECRET_BYTES} bytes are wanted")
    return secret
