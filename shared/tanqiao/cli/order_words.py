"""A decision of two bodies in words, from the bytes that are signed and from nothing else."""

from __future__ import annotations

from typing import Final

from google.protobuf import json_format

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.api.region.v1 import decisions_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.body_decisions import CONTENT, HANDS
from tanqiao.signing.strict import parse_strict

KINDS: Final = {
    decisions_pb2.BODY_DECISION_KIND_SCENE: "减排场景的决定 Decision on a reduction scene",
    decisions_pb2.BODY_DECISION_KIND_DOSSIER: "登记事项的决定 Decision on a dossier",
    decisions_pb2.BODY_DECISION_KIND_PARAMETER: "参数发布 Publication of a parameter",
    decisions_pb2.BODY_DECISION_KIND_ISSUANCE: "年度之外的签发 Issuance outside of the yearly rhythm",
    decisions_pb2.BODY_DECISION_KIND_CANCELLATION: "减排量的注销 Cancellation of units",
    decisions_pb2.BODY_DECISION_KIND_CERTIFICATE: "证书的撤销 Revocation of a certificate",
}
BINDS: Final = (
    "以本机构名义作出上述决定；另一签署人签署后生效；档案或规则包变动的，须重新签署。\n"
    "Takes this decision for your body; it has effect once the other has signed too, and none if the file or "
    "the rule pack changes before."
)


def decision_words(envelope: envelope_pb2.Envelope, decision: decisions_pb2.BodyDecision) -> dict[str, str]:
    """Say what is signed, in Chinese and English.

    Raises:
        DomainError: MESSAGE_MALFORMED, UNKNOWN_FIELD, ENUM_UNKNOWN for content that cannot be put into words.
    """
    content_class = CONTENT.get(int(decision.kind))
    if content_class is None:
        raise DomainError("MESSAGE_MALFORMED", detail="a decision of no kind")
    content = parse_strict(content_class, decision.content)
    plain = json_format.MessageToDict(content, preserving_proto_field_name=True)
    until = decision.expire_time.ToJsonString() if decision.HasField("expire_time") else "不限 no end"
    return {
        "事项 what": KINDS[decision.kind],
        "对象 object": decision.object_id,
        **{name: _text(value) for name, value in sorted(plain.items())},
        "网络 network": decision.header.network_id,
        "首签 first": decision.header.sender,
        "送达 to": ", ".join(decision.header.audience),
        "时间 time": decision.decide_time.ToJsonString(),
        "有效至 until": until,
        "内容摘要 digest": decision.decision_digest.hex(),
        "效果 effect": BINDS,
        "已签 signed": f"{len(envelope.signatures)} / {HANDS}",
    }


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_text(one)}" for name, one in sorted(value.items()))
    if isinstance(value, list):
        return "\n".join(_text(one) for one in value)
    return str(value)
