"""Proofs of filing: a good one, and what was tried with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.api.region.v1 import reserve_pb2
from tests.golden.museum import federation as f
from tests.golden.museum.exhibits import BadFile

Parts = list[tuple[str, bytes]]
LOG = f.LOG_OF_FEDERATION
KIND = "filing-proof"
NUMBER = "R-INVENTED-1.P2"
LINK = reserve_pb2.ResourceLink(
    programme="ccer",
    outside_reference="1900000000000000003",
    outside_state="公示",
    source="虚构清单 invented list",
    as_of_date=values_pb2.Date(year=2026, month=2, day=27),
)


def filing(
    by: f.Key = f.KEYS[f.SHANGHAI], audience: str = f.SHANGHAI, changed: Mapping[str, object] | None = None
) -> envelope_pb2.Envelope:
    """A proof of an invented entry; the museum's Shanghai stands for the region that keeps it."""
    fields: dict[str, object] = {
        "header": f.header(by.signer, audience, b"", rules_digest=f.rules_digest()),
        "number": NUMBER,
        "entry_id": "R-INVENTED-1",
        "title": "虚构小水电 invented hydro",
        "resource_kind": "ccer",
        "ftz_area": "KM",
        "potential_kg_per_year": 12_000_000,
        "enter_date": values_pb2.Date(year=2026, month=3, day=2),
        "state": "LINKED",
        "link": LINK,
        "proof_date": values_pb2.Date(year=2026, month=3, day=4),
        "claim_id": "310000:entry:R-INVENTED-1",
        "signed_at_index": f.USED_AT,
        **(changed or {}),
    }
    return f.envelope(by.signer, reserve_pb2.FilingProof(**fields))  # type: ignore[arg-type]


def filing_parts(signed: envelope_pb2.Envelope | None = None, *owners: str) -> Parts:
    """The parts of a file, with another proof in it, or with keys of others."""
    return [
        ("checkpoint", LOG.checkpoint),
        ("envelope", (signed or filing()).SerializeToString()),
        *LOG.keys(*(owners or (f.SHANGHAI,))),
    ]


def bad_filings(case: Callable[..., BadFile]) -> Iterator[BadFile]:
    """Proofs of filing that prove nothing, each named for what was tried."""
    size = len(LOG.leaves)
    no_list = reserve_pb2.ResourceLink(programme="ccer", outside_reference="19", outside_state="registered")
    for name, attack, changed in (
        ("of-another-entry", "the number of another entry's proof", {"entry_id": "R-INVENTED-2"}),
        ("without-number", "a proof that no history can have", {"number": "R-INVENTED-1"}),
        ("number-zero", "a number before the first", {"number": "R-INVENTED-1.P0"}),
        ("negative", "a potential below zero", {"potential_kg_per_year": -1}),
        ("state-without-list", "a state elsewhere that no list states", {"link": no_list}),
        (
            "link-without-number",
            "handed over to nowhere",
            {"link": reserve_pb2.ResourceLink(programme="ccer")},
        ),
        ("at-no-index", "signed at no index of the log", {"signed_at_index": 0}),
        ("signed-later", "signed later than the file can show", {"signed_at_index": size + 1}),
    ):
        yield case(f"filing-{name}", "FILING_INVALID", attack, filing_parts(filing(changed=changed)), KIND)
    yield case(
        "filing-before-its-key",
        "KEY_STATED_LATER",
        "signed before the key was known",
        filing_parts(filing(changed={"signed_at_index": 1})),
        KIND,
    )
    tampered = filing()
    tampered.payload = tampered.payload.replace(b".P2", b".P3")
    yield case("filing-changed", "MESSAGE_REFUSED", "another number", filing_parts(tampered), KIND)
    for name, reason, attack, envelope in (
        ("by-a-stranger", "KEY_NOT_SHOWN", "a key that the log never stated", filing(by=f.STRANGER)),
        ("for-others", "MESSAGE_REFUSED", "a message for the bridge", filing(audience=f.BRIDGE)),
        ("by-the-bridge", "MESSAGE_REFUSED", "no region signed it", filing(f.KEYS[f.BRIDGE], f.BRIDGE)),
        ("is-a-use", "MESSAGE_REFUSED", "a retirement as a filing", f.USE_MESSAGE),
    ):
        parts = filing_parts(envelope, f.SHANGHAI, f.BRIDGE)
        yield case(f"filing-{name}", reason, attack, parts, KIND)
