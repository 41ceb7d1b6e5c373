"""The region under test, as its people describe it; and the test network that the kit makes for it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.provision import (
    Network,
    NetworkPlan,
    RegionPlan,
    build_recognition_record,
    provision_network,
)
from tanqiao.testing.conformance.authorities import Authorities
from tanqiao.testing.conformance.kit import Kit
from tanqiao.testing.conformance.line import BRIDGE, Line
from tanqiao.testing.conformance.orders import ApiOrders, Orders

NETWORK_ID: Final = "test-conformance"
UNDER_TEST: Final = "region-under-test"
PARTNER: Final = "partner"
WITNESS: Final = "kit"
QUORUM: Final = 2
"""Of three witnesses: the region under test need not be one, the kit holds the keys of the other two."""
AGREED_FROM: Final = "2000-01-01"
AGREED_TO: Final = "2100-01-01"


@dataclass(frozen=True)
class Subject:
    """What the kit must know of the region; every name is that of the file.

    Args:
        region_code: of the region under test.
        partner_code: of the region that the kit plays; not the same.
        api: ``host:port`` of the region's public interface.
        holder_role: role that gives orders for the account below.
        opener_role: role that opens and closes accounts.
        account_id: account that holds at least `units_kg_min` units that may be transferred and retired.
        quantity_kg: how much one order moves, at least the grain of the programme.
        purpose: purpose of a retirement that the region's rules allow.
        purpose_text: the purpose in words.
        programme: programme of the units that come in from the partner.
        unit_class: their class, or empty.
        methodology_id: their methodology.
        outgoing_programmes: programmes of the units in `account_id`.
        outgoing_classes: their classes.
        legal_date: the day on the region's clock, ISO; empty: today.
    """

    region_code: str
    partner_code: str
    api: str
    holder_role: str
    opener_role: str
    account_id: str
    purpose: str
    programme: str
    quantity_kg: int = 1000
    purpose_text: str = "一致性检验 conformance"
    unit_class: str = ""
    methodology_id: str = "CONFORMANCE"
    outgoing_programmes: tuple[str, ...] = ()
    outgoing_classes: tuple[str, ...] = ()
    legal_date: str = ""

    @property
    def party(self) -> str:
        """The region under test."""
        return f"region/{self.region_code}"

    @property
    def partner(self) -> str:
        """The region that the kit plays."""
        return f"region/{self.partner_code}"


def load_subject(path: Path) -> Subject:
    """Read the file.

    Raises:
        DomainError: FILE_MISSING, SETTING_INVALID with the setting's name.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DomainError("FILE_MISSING", path=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DomainError("SETTING_INVALID", setting=str(path), detail=str(error)) from error
    known = {one.name: one for one in fields(Subject)}
    for name, value in values.items():
        wanted = known.get(name)
        kind = type(value)
        if wanted is None or kind is not (
            int if name == "quantity_kg" else list if "outgoing" in name else str
        ):
            raise DomainError("SETTING_INVALID", setting=name, detail="unknown, or of another kind")
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    try:
        return Subject(**given)  # type: ignore[arg-type]  # the kinds were checked above
    except TypeError as error:
        raise DomainError("SETTING_INVALID", setting=str(path), detail=str(error)) from error


def provision(home: Path, subject: Subject, now: datetime | None = None) -> Network:
    """Make the test network: certificates and keys of the bridge, the region under test, and its partner."""
    roles = tuple(dict.fromkeys((subject.holder_role, subject.opener_role)))
    plan = NetworkPlan(
        NETWORK_ID,
        (RegionPlan(subject.region_code, UNDER_TEST, roles), RegionPlan(subject.partner_code, PARTNER)),
        witnesses=(WITNESS,),
        quorum=QUORUM,
    )
    return provision_network(home, plan, now=now or datetime.now(UTC))


def build_kit(network: Network, subject: Subject, orders: Orders | None = None, *, restart: str = "") -> Kit:
    """Put the kit together; nothing listens yet."""
    bridge = Keyring.open(network.node(BRIDGE) / "keys").signer(KeyRole.MESSAGE)
    partner = Keyring.open(network.node(subject.partner) / "keys").signer(KeyRole.MESSAGE)
    line = Line(network, network.federation.directory(), bridge, subject.party)

    def agreement(complete: bool) -> envelope_pb2.Envelope:  # noqa: FBT001 - one switch
        return _agreement(network, subject, subject.partner, subject.party, complete=complete)

    return Kit(
        line=line,
        orders=orders or _api_orders(network, subject, restart),
        partner=subject.partner,
        partner_signer=partner,
        series=_series(subject),
        quantity_kg=subject.quantity_kg,
        legal_date=date_message(_day(subject)),
        agreements=agreement,
        authorities=Authorities(network),
    )


def announce(kit: Kit, network: Network, subject: Subject) -> None:
    """Tell the region of agreements in both directions, so that its rules let units cross."""
    kit.connected()
    notices = [
        messages_pb2.RecordNotice(
            header=kit.line.header(),
            record=_agreement(network, subject, source, destination, complete=True),
            log_index=at,
        )
        for at, (source, destination) in enumerate(
            ((subject.partner, subject.party), (subject.party, subject.partner))
        )
    ]
    kit.acknowledged(kit.line.number(notices))


def _api_orders(network: Network, subject: Subject, restart: str) -> ApiOrders:
    code = subject.region_code
    return ApiOrders(
        subject.api,
        network.tls(f"operator/{code}/{subject.holder_role}"),
        network.tls(f"operator/{code}/{subject.opener_role}"),
        subject.account_id,
        subject.quantity_kg,
        subject.purpose,
        subject.purpose_text,
        restart,
        f"operator/{code}/{subject.holder_role}",
    )


def _day(subject: Subject) -> date:
    return date.fromisoformat(subject.legal_date) if subject.legal_date else legal_date(datetime.now(UTC))


def _series(subject: Subject) -> values_pb2.Series:
    """Give the series of the partner's units; its name says that it is none of a real registry."""
    vintage = _day(subject).year
    name = f"{subject.partner_code}:{subject.programme}:CONFORMANCE:{vintage}:1"
    return values_pb2.Series(
        series_id=name,
        region_code=subject.partner_code,
        programme=subject.programme,
        source_id="CONFORMANCE",
        vintage_year=vintage,
        batch_number=1,
        methodology_id=subject.methodology_id,
        unit_class=subject.unit_class,
    )


def _agreement(
    network: Network, subject: Subject, source: str, destination: str, *, complete: bool
) -> envelope_pb2.Envelope:
    incoming = destination == subject.party
    record = messages_pb2.RecognitionRecord(
        agreement_id=f"conformance-{source.removeprefix('region/')}-{destination.removeprefix('region/')}",
        from_region=source,
        to_region=destination,
        programmes=[subject.programme] if incoming else list(subject.outgoing_programmes),
        unit_classes=[subject.unit_class] if incoming else list(subject.outgoing_classes),
        purposes=[subject.purpose],
        period=values_pb2.Period(start_date=date_message(AGREED_FROM), end_date=date_message(AGREED_TO)),
        document="conformance",
    )
    roots = [network.root(f"authority/{owner.removeprefix('region/')}") for owner in (source, destination)]
    envelope = build_recognition_record(network.plan.network_id, record, roots)
    if not complete:
        del envelope.signatures[1]
    return envelope
