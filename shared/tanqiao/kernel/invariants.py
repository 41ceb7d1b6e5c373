"""What must hold in production: `require` raises where `assert` would vanish under ``python -O``.

A broken invariant is a fault of the program, never a refusal of a request; refusals are
`tanqiao.kernel.errors.DomainError`.
"""

from __future__ import annotations


class InvariantBroken(RuntimeError):  # noqa: N818 - the registry's word; a breach is a finding, not an error of the caller
    """A property that the program promises did not hold; nothing may be committed after it."""


def require(condition: bool, message: str) -> None:  # noqa: FBT001 - reads like the assert that it replaces
    """Raise `InvariantBroken` with the message unless the condition holds, also under ``python -O``."""
    if not condition:
        raise InvariantBroken(message)
