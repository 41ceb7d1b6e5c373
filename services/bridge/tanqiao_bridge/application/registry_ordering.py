"""Orders to the registry of green certificates, written with what causes them (CLAIMS section 3).

Two things cause orders. The coordination notice gives CCER a freeze as of right (`coordination`). A
programme of a region has none: where its matrix answers FREEZE_OTHER, the owner has consented and the bridge
*asks* that registry, in the name of the project's claim. What it refuses, or does in part, or says nothing
about, leaves the claim where it is; a person looks. What it has confirmed is cancelled as units are issued
on it, and released when the claim ends.

A claim that a case lets stand again begins anew: what was frozen for it before a release counts no more, and
it asks again. So it does where the release was refused: what was frozen still is, and nothing stands for what
is issued later. It cannot stand again while a release of its own is undecided: until then its certificates
look frozen and may be sold at any moment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date
from typing import Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import claims_pb2, coordination_pb2
from tanqiao.claims.energy import kwh, whole_units_covering
from tanqiao.claims.keys import Strength, strength_of
from tanqiao.claims.model import Attribute
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.rpc.validation import wire_period
from tanqiao.signing.envelope import sign_envelope
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_bridge.application.claim_facts import ReadClaim
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.judging import read_stored
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage import registry_orders
from tanqiao_bridge.storage.registry_orders import OrderRow

CERTIFICATES: Final = "gec"
"""The registry that orders go to."""
FILING_CODE: Final = "gec_filing_code"
ORDER_TYPE: Final = payload_type_of(coordination_pb2.RegistryOrder)
ORDER_ID_BYTES: Final = 16
STANDING_YEARS: Final = 2
"""A certificate is valid for two years; a freeze stands as long for what is issued late."""

FREEZE: Final = coordination_pb2.REGISTRY_ORDER_KIND_FREEZE
CANCEL: Final = coordination_pb2.REGISTRY_ORDER_KIND_CANCEL
RELEASE: Final = coordination_pb2.REGISTRY_ORDER_KIND_RELEASE
CONFIRMED: Final = coordination_pb2.REGISTRY_ORDER_STATE_CONFIRMED


def order_id_of(statement_hash: bytes) -> bytes:
    """Give the id of the order that a statement causes: the same one however often it is made."""
    return hashlib.sha256(b"tanqiao registry order" + statement_hash).digest()[:ORDER_ID_BYTES]


def keys_of(read: ReadClaim) -> list[claims_pb2.AssetReference]:
    """Give the legal ids of a claim's asset: what the other registry knows a plant by."""
    return [
        claims_pb2.AssetReference(scheme=one.scheme, value=one.value)
        for one in read.asset.references
        if strength_of(one.scheme) >= Strength.LEGAL_ID
    ]


def write_order(
    group: Group, statement_hash: bytes, order: coordination_pb2.RegistryOrder, log_index: int
) -> bytes:
    """Sign an order and store it; the row is its outbox. Its id, which is made from what caused it."""
    order.header.CopyFrom(group.context.header((f"gateway/{CERTIFICATES}",), prev_hash=statement_hash))
    order.order_id = order_id_of(statement_hash)
    order.log_index = log_index
    order.bridge_epoch = group.context.epoch
    payload = order.SerializeToString()
    envelope = sign_envelope(group.context.signer, ORDER_TYPE, payload)
    registry_orders.insert_order(
        group.connection,
        OrderRow(
            order.order_id,
            CERTIFICATES,
            order.claim_id,
            order.kind,
            statement_hash,
            message_hash(ORDER_TYPE, payload),
            payload,
            envelope.SerializeToString(),
            group.now,
            log_index,
        ),
    )
    return bytes(order.order_id)


# -- for programmes of regions -----------------------------------------------------------------------------


def ask_to_freeze(group: Group, read: ReadClaim, statement_hash: bytes, article: str, log_index: int) -> None:
    """Ask, in the name of the project, that the certificates of its crediting period are frozen.

    An instalment whose plant has certificates that nobody froze asks for its whole project, once that one's
    notice has opened. Nothing is asked while an earlier request is undecided, and nothing for a plant without
    a filing code.
    """
    owner: ReadClaim | None = read
    if read.message.object == claims_pb2.CLAIM_OBJECT_INSTALMENT:
        message = read.message
        found = claim_rows.live_projects(group.connection, [(message.region, message.project_id)])
        opened = [row for row in found if row.status != claims_pb2.CLAIM_STATUS_DECLARED]
        owner = read_stored(opened[0]) if opened else None
    if owner is None or not _has_filing_code(owner):
        return
    freezes, _ = _standing(group, owner.claim_id)
    if None not in freezes:
        _ask(group, owner, statement_hash, article, log_index)


def ask_to_freeze_again(group: Group, read: ReadClaim, statement_hash: bytes, log_index: int) -> None:
    """Ask again, for a project whose certificates are all frozen, where nothing stands for later ones.

    A release ends the standing order of the freezes before it, also one that the registry refused or did in
    part: what it issues afterwards is frozen for nobody until it is asked once more, with the same article.
    """
    if read.message.object != claims_pb2.CLAIM_OBJECT_PROJECT or not _has_filing_code(read):
        return
    freezes, kept_at = _standing(group, read.claim_id)
    if None in freezes or not -1 < freezes.get(CONFIRMED, -1) < kept_at:
        return
    (newest,) = registry_orders.list_orders(
        group.connection, claim_id=read.claim_id, before=0, limit=1, kinds=(FREEZE,)
    )
    article = coordination_pb2.RegistryOrder.FromString(newest.payload).article
    _ask(group, read, statement_hash, article, log_index)


def _has_filing_code(read: ReadClaim) -> bool:
    return any(one.scheme == FILING_CODE for one in read.asset.references)


def _ask(group: Group, owner: ReadClaim, statement_hash: bytes, article: str, log_index: int) -> None:
    order = coordination_pb2.RegistryOrder(
        kind=FREEZE,
        claim_id=owner.claim_id,
        references=keys_of(owner),
        period=wire_period(owner.period),
        standing_until_date=date_message(_standing_until(group, owner)),
        article=article,
    )
    write_order(group, statement_hash, order, log_index)


def cancel_for_issues(group: Group, issued: Sequence[tuple[ReadClaim, bytes, int]]) -> None:
    """Order that the certificates of what was issued are cancelled, where the project has had them frozen.

    Args:
        group: the transaction that registers the units.
        issued: instalments that passed, each with the hash of its Issue and the index of that one's leaf.
    """
    wanted = {(read.message.region, read.message.project_id) for read, _, _ in issued}
    projects = claim_rows.live_projects(group.connection, sorted(wanted)) if wanted else []
    frozen = registry_orders.with_freezes(group.connection, [row.claim_id for row in projects])
    if not frozen:
        return
    owners = {(row.region, row.project_id): row.claim_id for row in projects if row.claim_id in frozen}
    for read, issue_hash, log_index in issued:
        owner = owners.get((read.message.region, read.message.project_id))
        activity = read.claim.activity
        electricity = None if activity is None else kwh(activity.quantity, activity.unit)
        if owner is None or not electricity or read.claim.attribute is not Attribute.RE_GEN:
            continue
        quantity = coordination_pb2.PeriodQuantity(
            period=wire_period(read.period),
            quantity=whole_units_covering(electricity, "MWh"),
            unit="MWh",
        )
        order = coordination_pb2.RegistryOrder(
            kind=CANCEL, claim_id=owner, references=keys_of(read), quantities=[quantity]
        )
        write_order(group, issue_hash, order, log_index)


def released_at(connection: sa.Connection, region: str, project_id: str) -> int:
    """Give the log index at which what was frozen for a project was last released; -1: it never was."""
    projects = claim_rows.projects_of(connection, region, project_id)
    return max(registry_orders.indexes_of(connection, projects, RELEASE), default=-1)


def release_frozen(group: Group, claim_id: str, cause_hash: bytes, log_index: int) -> None:
    """Order that what is frozen for a claim is released: the claim has ended."""
    if claim_id not in registry_orders.with_freezes(group.connection, [claim_id]):
        return
    order = coordination_pb2.RegistryOrder(kind=RELEASE, claim_id=claim_id)
    write_order(group, cause_hash, order, log_index)


def require_released(group: Group, row: claim_rows.ClaimRow) -> None:
    """Refuse that a claim gets on before it is decided what becomes of what was frozen for its project.

    Raises:
        DomainError: EXTERNAL_REGISTRY_SILENT; the same may be tried again once the registry has answered.
    """
    owners = {row.claim_id, *claim_rows.projects_of(group.connection, row.region, row.project_id)}
    for owner in sorted(owners):
        if (RELEASE, None) in registry_orders.newest_of(group.connection, owner, (RELEASE,)):
            raise DomainError("EXTERNAL_REGISTRY_SILENT", registry=CERTIFICATES, as_of="–")


def _standing(group: Group, claim_id: str) -> tuple[dict[int | None, int], int]:
    """Give what was asked for since a claim's last release, and where a release left it as it was.

    A release that the registry refused, or did in part, has left something frozen: it is no last one.

    Returns:
        The log index of the newest order to freeze by its decision (None: not decided), and that of the
        newest release that was refused or done in part; -1: there is none.
    """
    newest = registry_orders.newest_of(group.connection, claim_id, (FREEZE, RELEASE))
    releases = {decision: at for (kind, decision), at in newest.items() if kind == RELEASE}
    released_at = max((releases.get(decision, -1) for decision in registry_orders.RELEASED), default=-1)
    freezes = {decision: at for (kind, decision), at in newest.items() if kind == FREEZE and at > released_at}
    kept_at = max(
        (at for decision, at in releases.items() if decision not in registry_orders.RELEASED), default=-1
    )
    return freezes, kept_at


def _standing_until(group: Group, owner: ReadClaim) -> date:
    last = max(owner.period.end, date.fromisoformat(group.legal_date))
    return date(last.year + STANDING_YEARS, last.month, 1)
