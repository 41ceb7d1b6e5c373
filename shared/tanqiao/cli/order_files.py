"""An order on its way from hand to hand: a file that carries the bytes and the signatures under them.

What is shown in words is made from the bytes that are signed and from nothing else; the file holds no words,
so that nobody signs a sentence that the bytes do not say.
"""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError

from tanqiao.api.bridge.v1 import cases_pb2, messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.api.region.v1 import clawbacks_pb2, decisions_pb2
from tanqiao.cli.parse import blocks_text
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.approvals import (
    ALIAS_TYPE,
    APPROVERS,
    CLAWBACK_TYPE,
    CORRECTION_TYPE,
    FREEZE_TYPE,
    RESOLUTION_TYPE,
    Order,
)
from tanqiao.signing.body_decisions import DECISION_TYPE
from tanqiao.signing.envelope import add_signature
from tanqiao.signing.keyring import StoredKey
from tanqiao.signing.strict import parse_strict
from tanqiao.signing.witness_groups import WITNESS_GROUP_TYPE

ANY_SECOND: Final = (cases_pb2.CaseResolution, cases_pb2.AliasDecision, messages_pb2.WitnessGroupRecord)
"""Orders of which the first signature is the sender's and the others are of any other body."""
FORMAT: Final = "tanqiao-order-v1"
FILE_BYTES_MAX: Final = 4 << 20

SCOPES: Final = {
    messages_pb2.FREEZE_SCOPE_BLOCK: "减排量区间 units",
    messages_pb2.FREEZE_SCOPE_PSEUDONYM: "持有人 holder",
    messages_pb2.FREEZE_SCOPE_REGION: "地区 region",
    messages_pb2.FREEZE_SCOPE_PAIR: "两地之间的往来 traffic between two regions",
    messages_pb2.FREEZE_SCOPE_ACCOUNT: "账户 account",
}
FREEZES: Final = (
    "自其记录之时起：触及上述对象的未决转移一律中止；新的决定、使用和签发均被拒绝；此前作出的划转决定照常交付，入账即冻结。\n"
    "From its entry on: undecided transfers that touch this are aborted; new decisions, uses and issues are "
    "refused; transfers decided before are delivered and credited frozen."
)
BINDS: Final = (
    "约束本地区节点：上述对象不得转移、转出或使用；已锁定的，于中止退回时即行冻结；桥已作出的决定照常执行。\n"
    "Binds this region's node: this is neither moved, sent nor used; what is locked is frozen as soon as an "
    "ABORT gives it back; what the bridge decides takes effect."
)
LIFTS: Final = (
    "解除本机关此前就上述对象下达的冻结；其他机关的冻结不受影响。\n"
    "Lifts what this authority froze of this; what others froze stays frozen."
)
CORRECTS: Final = (
    "上述减排量自其日志序号起仅由转入地区持有；数量不增不减；已使用或注销的不得更正。\n"
    "From its log index on these units are held at the second region and nowhere else; none is made or lost; "
    "what was used or cancelled cannot be corrected."
)
CLAWS_BACK: Final = (
    "上述减排量属错误签发：本地区持有的即行冻结并注销；已使用或转出的，由获签发人在期限内以等量减排量补足。\n"
    "These units were wrongly issued: what is held here is frozen and cancelled; for what was used or has "
    "left, the one to whom it was issued hands in as many units within the term."
)
RESOLUTIONS: Final = {
    cases_pb2.RESOLUTION_ALLOW: "准予 allow",
    cases_pb2.RESOLUTION_BLOCK: "不准 block",
    cases_pb2.RESOLUTION_SPLIT: "拆分 split",
}
RELATIONS: Final = {
    cases_pb2.ALIAS_RELATION_SAME: "同一资产 one asset",
    cases_pb2.ALIAS_RELATION_DIFFERENT: "不同资产 two assets",
}
RESOLVES: Final = (
    "须由两个机构的审批人签署；仅对该案件所列主张、条款和该版矩阵有效；不准的主张终止，已签发的减排量停止划转和使用。\n"
    "Approvers of two bodies sign. Holds for the claims, article and matrix version of the case only; a "
    "claim that is blocked ends, units issued on it neither move nor are used."
)
UNITES: Final = (
    "须由两个机构的审批人签署；有效主张重新判定并立案，不撤销任何主张；更改须另作认定。\n"
    "Approvers of two bodies sign. Live claims are judged again and cases opened; nothing is withdrawn; "
    "undoing it is a new decision."
)


REPLACES: Final = (
    "须由每个主管机构的两名审批人签署，经原见证组见证后生效；原见证组不复存在的，由全部根密钥签署。\n"
    "Two approvers of each authority sign; it counts once the group before has cosigned it. Where that is "
    "gone, every root signs."
)


def write_order(path: Path, envelope: envelope_pb2.Envelope) -> None:
    """Write an order with the signatures that it has."""
    document = {"format": FORMAT, "envelope": base64.b64encode(envelope.SerializeToString()).decode()}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def read_order(path: Path) -> tuple[envelope_pb2.Envelope, Order]:
    """Read an order; its signatures are checked by whom it is brought to.

    Raises:
        DomainError: FILE_MISSING, FILE_TOO_LARGE, MESSAGE_MALFORMED, UNKNOWN_FIELD, ENUM_UNKNOWN.
    """
    envelope = read_envelope(path)
    return envelope, order_of(envelope)


def read_decision(path: Path) -> tuple[envelope_pb2.Envelope, decisions_pb2.BodyDecision]:
    """Read a decision of two bodies; its signatures are checked by whom it is brought to.

    Raises:
        DomainError: as `read_order`.
    """
    envelope = read_envelope(path)
    if envelope.payload_type != DECISION_TYPE:
        raise DomainError("MESSAGE_MALFORMED", detail=f"{envelope.payload_type[:96]} is no decision")
    return envelope, parse_strict(decisions_pb2.BodyDecision, envelope.payload)


def read_envelope(path: Path) -> envelope_pb2.Envelope:
    """Read what is signed from hand to hand, and its signatures.

    Raises:
        DomainError: FILE_MISSING, FILE_TOO_LARGE, MESSAGE_MALFORMED.
    """
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise DomainError("FILE_TOO_LARGE", file=path, size=path.stat().st_size, limit=FILE_BYTES_MAX)
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise DomainError("MESSAGE_MALFORMED", detail=f"{path} is not an order")
        return envelope_pb2.Envelope.FromString(base64.b64decode(document["envelope"], validate=True))
    except OSError as error:
        raise DomainError("FILE_MISSING", file=path) from error
    except (ValueError, KeyError, TypeError, binascii.Error, DecodeError) as error:
        raise DomainError("MESSAGE_MALFORMED", detail=f"{path} is not an order") from error


def order_of(envelope: envelope_pb2.Envelope) -> Order:
    """Parse the bytes that are signed; a field that this program could not put into words is refused."""
    if envelope.payload_type == FREEZE_TYPE:
        return parse_strict(messages_pb2.Freeze, envelope.payload)
    if envelope.payload_type == CORRECTION_TYPE:
        return parse_strict(messages_pb2.Correction, envelope.payload)
    if envelope.payload_type == RESOLUTION_TYPE:
        return parse_strict(cases_pb2.CaseResolution, envelope.payload)
    if envelope.payload_type == ALIAS_TYPE:
        return parse_strict(cases_pb2.AliasDecision, envelope.payload)
    if envelope.payload_type == CLAWBACK_TYPE:
        return parse_strict(clawbacks_pb2.ClawbackOrder, envelope.payload)
    if envelope.payload_type == WITNESS_GROUP_TYPE:
        return parse_strict(messages_pb2.WitnessGroupRecord, envelope.payload)
    raise DomainError("MESSAGE_MALFORMED", detail=f"{envelope.payload_type[:96]} is no order")


def words(envelope: envelope_pb2.Envelope, order: Order) -> dict[str, str]:
    """Say what is signed, in Chinese and English, from the signed bytes."""
    common = {
        "网络 network": order.header.network_id,
        "发出 from": order.header.sender,
        "送达 to": ", ".join(order.header.audience),
        "理由 reason": order.reason,
        "依据 document": order.document,
    }
    needed = 2 * APPROVERS if isinstance(order, messages_pb2.Correction) else APPROVERS
    signed = {"已签 signed": f"{len(envelope.signatures)} / {needed}"}
    if isinstance(order, messages_pb2.Correction):
        return {
            "事项 what": "更正 Correction",
            "减排量 units": blocks_text(list(order.blocks)),
            "转出地区 from": order.from_region,
            "转入地区 to": order.to_region,
            "收款地址 address": order.receiving_address,
            **_settled(order),
            **common,
            "效果 effect": CORRECTS,
            "编号 id": order.correction_id.hex(),
            **signed,
        }
    if isinstance(order, cases_pb2.CaseResolution | cases_pb2.AliasDecision):
        return {**_decided(order), **common, **signed}
    if isinstance(order, clawbacks_pb2.ClawbackOrder):
        return {
            "事项 what": "追回 Clawback",
            "签发 issuance": order.issuance_id,
            "减排量 units": blocks_text(list(order.blocks)) or "该次签发的全部 all that was issued",
            **common,
            "效果 effect": CLAWS_BACK,
            "编号 id": order.clawback_id.hex(),
            **signed,
        }
    if isinstance(order, messages_pb2.WitnessGroupRecord):
        return {**_group(order), **common, "已签 signed": str(len(envelope.signatures))}
    local = order.header.audience[0] != "bridge" if order.header.audience else False
    return {
        "事项 what": "解除冻结 Unfreeze" if order.unfreeze else "冻结 Freeze",
        "对象 scope": SCOPES.get(order.scope, "–"),
        "所指 subject": _subject(order),
        **common,
        "效果 effect": LIFTS if order.unfreeze else BINDS if local else FREEZES,
        "编号 id": order.order_id.hex(),
        **signed,
    }


def _group(order: messages_pb2.WitnessGroupRecord) -> dict[str, str]:
    return {
        "事项 what": "更换见证组 Another group of witnesses",
        "见证方 witnesses": "\n".join(order.witnesses),
        "法定人数 quorum": f"{order.quorum} / {len(order.witnesses)}",
        "更换 replaces": f"日志序号 log index {order.replaces_log_index}",
        "效果 effect": REPLACES,
        "编号 id": order.change_id.hex(),
    }


def _decided(order: cases_pb2.CaseResolution | cases_pb2.AliasDecision) -> dict[str, str]:
    if isinstance(order, cases_pb2.CaseResolution):
        return {
            "事项 what": "结案 Resolution of a case",
            "案件 case": str(order.case_id),
            "结论 resolution": RESOLUTIONS.get(order.resolution, "–"),
            "主张 claims": "\n".join(order.claim_ids) or "案件所涉主张 the claim of the case",
            "效果 effect": RESOLVES,
        }
    return {
        "事项 what": "资产认定 Decision on an alias",
        "编号 first": f"{order.first.scheme}={order.first.value}",
        "编号 second": f"{order.second.scheme}={order.second.value}",
        "结论 relation": RELATIONS.get(order.relation, "–"),
        "效果 effect": UNITES,
    }


def _settled(order: messages_pb2.Correction) -> dict[str, str]:
    header = order.header
    return {"了结 settles": f"{header.source} {header.transfer_id.hex()}"} if header.transfer_id else {}


def _subject(order: messages_pb2.Freeze) -> str:
    named = (
        blocks_text(list(order.blocks)),
        order.pseudonym.hex(),
        " – ".join(part for part in (order.region, order.other_region) if part),
        order.account_id,
    )
    return "\n".join(part for part in named if part)


def with_signature(envelope: envelope_pb2.Envelope, order: Order, key: StoredKey) -> envelope_pb2.Envelope:
    """Add an approver's signature; the sender's comes first, as the header's key epoch says.

    Raises:
        DomainError: SENDER_MISMATCH for an approver of an authority whom the order does not concern,
            KEY_EPOCH_WRONG if the order was prepared for another key, APPROVERS_MISSING for a second
            signature of the same key.
    """
    signer, header = key.signer, order.header
    authorities = [header.sender]
    if isinstance(order, messages_pb2.Correction):
        regions = (order.from_region, order.to_region)
        authorities = [f"authority/{region.removeprefix('region/')}" for region in regions]
    if not isinstance(order, ANY_SECOND) and signer.owner not in authorities:
        raise DomainError("SENDER_MISMATCH", sender=" / ".join(authorities), owner=signer.owner)
    return _signed(envelope, header, key)


def with_officer(
    envelope: envelope_pb2.Envelope, decision: decisions_pb2.BodyDecision, key: StoredKey
) -> envelope_pb2.Envelope:
    """Add an officer's signature to a decision; the one of the body that it names comes first.

    Raises:
        DomainError: SENDER_MISMATCH for an officer of another region, or of another body before the first;
            else as `with_signature`.
    """
    sender = decision.header.sender
    if not key.signer.owner.startswith(f"{sender.rpartition('/')[0]}/"):
        raise DomainError("SENDER_MISMATCH", sender=sender, owner=key.signer.owner)
    return _signed(envelope, decision.header, key)


def _signed(
    envelope: envelope_pb2.Envelope, header: envelope_pb2.Header, key: StoredKey
) -> envelope_pb2.Envelope:
    signer = key.signer
    if any(one.key_id == signer.key_id for one in envelope.signatures):
        raise DomainError("APPROVERS_MISSING", needed=APPROVERS, have=1, missing=[signer.owner])
    leads = signer.owner == header.sender and signer.key_epoch == header.key_epoch
    if not envelope.signatures and not leads:
        if signer.owner == header.sender:
            raise DomainError("KEY_EPOCH_WRONG", epoch=header.key_epoch, expected=signer.key_epoch)
        raise DomainError("SENDER_MISMATCH", sender=header.sender, owner=signer.owner)
    return add_signature(envelope, signer)
