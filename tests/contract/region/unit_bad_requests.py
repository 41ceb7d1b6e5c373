"""Bad requests about units that stay where they are: data for the suite of bad input."""

from __future__ import annotations

from collections.abc import Iterator

from tests.contract.region.bad_requests import Case, put
from tests.contract.region.unit_requests import (
    CERTIFICATE,
    CLAWBACK,
    CONSENT,
    DECISION,
    DISCLOSURE,
    ENCUMBRANCE,
    PARAMETER,
)


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


def certificates() -> Iterator[Case]:
    """Give what is refused of certificates; this region's text knows none."""
    make, step = CERTIFICATE + "RequestCertificate", CERTIFICATE + "TakeCertificateStep"
    yield Case(make, "an unknown retirement", "NOT_FOUND", put())
    yield Case(make, "no retirement", "FIELD_INVALID", put(retirement_id=""))
    yield Case(make, "too long an occasion", "TEXT_TOO_LONG", put(occasion="x" * 201))
    yield Case(step, "an unknown one", "NOT_FOUND", put())
    yield Case(step, "no number", "FIELD_MISSING", put(number=""))
    yield Case(step, "no request id", "REQUEST_ID_INVALID", put(request_id=""))
    yield Case(CERTIFICATE + "GetCertificate", "an unknown one", "NOT_FOUND", put())
    yield Case(CERTIFICATE + "GetCertificate", "no number", "FIELD_MISSING", put(number=""))
    yield Case(CERTIFICATE + "ListCertificates", "a negative page", "FIELD_INVALID", put(page_size=-1))
    yield Case(CERTIFICATE + "ListCertificateSteps", "an unknown one", "NOT_FOUND", put())


def consents() -> Iterator[Case]:
    """Give what is refused of mandates and consents."""
    give, end, listed = CONSENT + "RecordConsents", CONSENT + "WithdrawConsent", CONSENT + "ListConsents"

    yield Case(give, "nobody's", "BATCH_EMPTY", put(consents=None))
    yield Case(give, "no such account", "ACCOUNT_UNKNOWN", put(consents__recipient_account_id="A0"))
    yield Case(give, "no user", "FIELD_MISSING", put(consents__user_token=""))
    yield Case(give, "an identity number", "FIELD_INVALID", put(consents__user_token="11010519491231002X"))
    yield Case(give, "no text", "FIELD_MISSING", put(consents__text_version=""))
    yield Case(give, "a digest of another length", "FIELD_INVALID", put(consents__text_digest=b"1"))
    yield Case(give, "of no kind", "FIELD_MISSING", put(consents__kind=0))
    yield Case(give, "another's user", "ACCOUNT_UNKNOWN", put(consents__account_id="A0"))
    yield Case(give, "the bureau", "ROLE_NOT_PERMITTED", put(), role="sh.bureau", article=True)
    yield Case(end, "an unknown one", "NOT_FOUND", put())
    yield Case(end, "no id", "FIELD_INVALID", put(consent_id=""))
    yield Case(listed, "a negative page", "FIELD_INVALID", put(page_size=-1))
    yield Case(listed, "no account", "FIELD_MISSING", put(recipient_account_id=""))
    yield Case(listed, "another's", "ACCOUNT_OF_ANOTHER", put(), role="sh.scene_body")


def clawbacks() -> Iterator[Case]:
    """Give what is refused of clawbacks."""
    order, replace, settle = (
        CLAWBACK + f"{name}" for name in ("SubmitClawback", "ReplaceClawedUnits", "SettleClawback")
    )
    yield Case(order, "an empty order", "MESSAGE_MALFORMED", put())
    yield Case(replace, "an unknown one", "NOT_FOUND", put())
    yield Case(replace, "no id", "FIELD_INVALID", put(clawback_id=""))
    yield Case(replace, "no units", "QUANTITY_NOT_POSITIVE", put(units=None))
    yield Case(settle, "an unknown one", "NOT_FOUND", put())
    yield Case(settle, "no id", "FIELD_INVALID", put(clawback_id=""))
    yield Case(CLAWBACK + "GetClawback", "an unknown one", "NOT_FOUND", put())
    yield Case(CLAWBACK + "ListClawbacks", "a negative page", "FIELD_INVALID", put(page_size=-1))
    yield Case(CLAWBACK + "ListClawbackSteps", "an unknown one", "NOT_FOUND", put())


def disclosure() -> Iterator[Case]:
    """Give what is refused of public lists."""
    read = DISCLOSURE + "ReadDisclosure"
    yield Case(read, "no list", "FIELD_MISSING", put(slug=""))
    yield Case(read, "a list of another region", "NOT_FOUND", put(slug="points-rule"))
    yield Case(read, "an over-long name", "TEXT_TOO_LONG", put(slug="x" * 65))
    yield Case(read, "a negative page", "FIELD_INVALID", put(page_size=-1))
    for method in (read, DISCLOSURE + "ListDisclosures"):
        yield Case(method, "as of no entry yet", "JOURNAL_INDEX_AHEAD", put(as_of_index=2**62))
        yield Case(method, "as of a negative entry", "FIELD_INVALID", put(as_of_index=-1))


def parameters() -> Iterator[Case]:
    """Give what is refused of dated parameters."""
    publish = PARAMETER + "SetParameter"
    yield Case(publish, "no key", "FIELD_MISSING", put(key=""))
    yield Case(publish, "a key that no pack declares", "PARAMETER_INVALID", put(key="sh.nothing"))
    yield Case(publish, "no value", "FIELD_MISSING", put(value_json=""))
    yield Case(publish, "a value of another kind", "PARAMETER_INVALID", put(value_json="1"))
    yield Case(publish, "no first day", "FIELD_MISSING", put(start_date=None))
    yield Case(publish, "nobody's approval", "FIELD_MISSING", put(approval=None, second_approver=BUREAU))
    yield Case(publish, "other bytes", "SIGNATURE_INVALID", put(approval__payload=b"\x0a\x00"))
    yield Case(publish, "an unknown key", "KEY_UNKNOWN", put(approval__signatures__key_id=bytes(16)))
    yield Case(publish, "of another document", "DECISION_DIFFERS", put(document_reference="另一公告"))
    yield Case(publish, "another office", "ROLE_NOT_PERMITTED", put(), role="sh.centre", article=True)
    read = DECISION + "ListBodyDecisions"
    yield Case(read, "no object", "FIELD_MISSING", put(object_id=""))
    yield Case(read, "an over-long object", "TEXT_TOO_LONG", put(object_id="x" * 129))
    yield Case(read, "a kind that is none", "ENUM_UNKNOWN", put(kind=99))
    yield Case(read, "a negative page", "FIELD_INVALID", put(page_size=-1))
    yield Case(read, "a body that keeps no accounts", "ROLE_NOT_PERMITTED", put(), role="sh.technical_body")
    yield Case(PARAMETER + "ListParameters", "a negative page", "FIELD_INVALID", put(page_size=-1))


BUREAU = "operator/310000/sh.bureau"
