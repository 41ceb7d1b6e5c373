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

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.cli.parse import blocks_text
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.approvals import APPROVERS, CORRECTION_TYPE, FREEZE_TYPE
from tanqiao.signing.envelope import add_signature
from tanqiao.signing.keyring import StoredKey
from tanqiao.signing.strict import parse_strict

FORMAT: Final = "tanqiao-order-v1"
FILE_BYTES_MAX: Final = 4 << 20
Order = messages_pb2.Freeze | messages_pb2.Correction

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


def write_order(path: Path, envelope: envelope_pb2.Envelope) -> None:
    """Write an order with the signatures that it has."""
    document = {"format": FORMAT, "envelope": base64.b64encode(envelope.SerializeToString()).decode()}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def read_order(path: Path) -> tuple[envelope_pb2.Envelope, Order]:
    """Read an order; its signatures are checked by whom it is brought to.

    Raises:
        DomainError: FILE_MISSING, FILE_TOO_LARGE, MESSAGE_MALFORMED, UNKNOWN_FIELD, ENUM_UNKNOWN.
    """
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise DomainError("FILE_TOO_LARGE", file=path, size=path.stat().st_size, limit=FILE_BYTES_MAX)
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise DomainError("MESSAGE_MALFORMED", detail=f"{path} is not an order")
        envelope = envelope_pb2.Envelope.FromString(base64.b64decode(document["envelope"], validate=True))
    except OSError as error:
        raise DomainError("FILE_MISSING", file=path) from error
    except (ValueError, KeyError, TypeError, binascii.Error, DecodeError) as error:
        raise DomainError("MESSAGE_MALFORMED", detail=f"{path} is not an order") from error
    return envelope, order_of(envelope)


def order_of(envelope: envelope_pb2.Envelope) -> Order:
    """Parse the bytes that are signed; a field that this program could not put into words is refused."""
    if envelope.payload_type == FREEZE_TYPE:
        return parse_strict(messages_pb2.Freeze, envelope.payload)
    if envelope.payload_type == CORRECTION_TYPE:
        return parse_strict(messages_pb2.Correction, envelope.payload)
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
    needed = APPROVERS if isinstance(order, messages_pb2.Freeze) else 2 * APPROVERS
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
    if signer.owner not in authorities:
        raise DomainError("SENDER_MISMATCH", sender=" / ".join(authorities), owner=signer.owner)
    if any(one.key_id == signer.key_id for one in envelope.signatures):
        raise DomainError("APPROVERS_MISSING", needed=APPROVERS, have=1, missing=[signer.owner])
    leads = signer.owner == header.sender and signer.key_epoch == header.key_epoch
    if not envelope.signatures and not leads:
        if signer.owner == header.sender:
            raise DomainError("KEY_EPOCH_WRONG", epoch=header.key_epoch, expected=signer.key_epoch)
        raise DomainError("SENDER_MISMATCH", sender=header.sender, owner=signer.owner)
    return add_signature(envelope, signer)
