"""Bad requests about units that stay where they are: data for the suite of bad input."""

from __future__ import annotations

from collections.abc import Iterator

from tests.contract.region.bad_requests import Case, put
from tests.contract.region.unit_requests import DISCLOSURE, ENCUMBRANCE, PARAMETER


def encumbrances() -> Iterator[Case]:
    """Give what is refused of encumbrances."""
    make, free = ENCUMBRANCE + "EncumberUnits", ENCUMBRANCE + "ReleaseEncumbrance"
    yield Case(make, "the holder's own other account", "FIELD_INVALID", put())
    yield Case(make, "no units", "QUANTITY_NOT_POSITIVE", put(units=None))
    yield Case(make, "no document", "FIELD_MISSING", put(document_reference=""))
    yield Case(make, "no creditor", "FIELD_MISSING", put(creditor_account_id=""))
    yield Case(make, "an office", "ROLE_NOT_PERMITTED", put(), role="sh.centre", article=True)
    yield Case(make, "a digest of another length", "FIELD_INVALID", put(document_digest=b"1"))
    yield Case(free, "an unknown one", "NOT_FOUND", put())
    yield Case(free, "no id", "FIELD_INVALID", put(encumbrance_id=""))
    yield Case(free, "no deed", "FIELD_MISSING", put(document_reference=""))
    yield Case(free, "an office", "ROLE_NOT_PERMITTED", put(), role="sh.centre", article=True)
    yield Case(ENCUMBRANCE + "GetEncumbrance", "an unknown one", "NOT_FOUND", put())
    yield Case(ENCUMBRANCE + "ListEncumbrances", "a negative page", "FIELD_INVALID", put(page_size=-1))
    yield Case(
        ENCUMBRANCE + "ListEncumbrances",
        "a holder asks for all",
        "ACCOUNT_OF_ANOTHER",
        put(),
        role="sh.holder",
    )


def disclosure() -> Iterator[Case]:
    """Give what is refused of public lists."""
    read = DISCLOSURE + "ReadDisclosure"
    yield Case(read, "no list", "FIELD_MISSING", put(slug=""))
    yield Case(read, "a list of another region", "NOT_FOUND", put(slug="points-rule"))
    yield Case(read, "an over-long name", "TEXT_TOO_LONG", put(slug="x" * 65))
    yield Case(read, "a negative page", "FIELD_INVALID", put(page_size=-1))


def parameters() -> Iterator[Case]:
    """Give what is refused of dated parameters."""
    publish = PARAMETER + "SetParameter"
    yield Case(publish, "no key", "FIELD_MISSING", put(key=""))
    yield Case(publish, "a key that no pack declares", "PARAMETER_INVALID", put(key="sh.nothing"))
    yield Case(publish, "no value", "FIELD_MISSING", put(value_json=""))
    yield Case(publish, "a value of another kind", "PARAMETER_INVALID", put(value_json="1"))
    yield Case(publish, "no first day", "FIELD_MISSING", put(start_date=None))
    yield Case(publish, "the same person twice", "SELF_APPROVAL_FORBIDDEN", put(second_approver=BUREAU))
    yield Case(publish, "another office", "ROLE_NOT_PERMITTED", put(), role="sh.centre", article=True)
    yield Case(PARAMETER + "ListParameters", "a negative page", "FIELD_INVALID", put(page_size=-1))


BUREAU = "operator/310000/sh.bureau"
