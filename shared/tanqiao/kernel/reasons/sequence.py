"""Family 3: sequence, replay and equivocation (PROTOCOL sections 1, 3 and 5)."""

from __future__ import annotations

from typing import Final

from tanqiao.kernel.reasons.model import Reason, Retry

REASONS: Final[tuple[Reason, ...]] = (
    Reason(
        3001,
        "REQUEST_ID_REUSED",
        Retry.NEVER,
        "ALREADY_EXISTS",
        zh="同一请求编号的内容不一致。",
        en="Same request id, other content.",
    ),
    Reason(
        3002,
        "EQUIVOCATION",
        Retry.NEVER,
        "FAILED_PRECONDITION",
        zh="{peer}就{id}作出了两个不同的承诺，证据已保存，相关往来已冻结，须两名审批人解除。",
        en=(
            "{peer} made two different promises about {id}; both are kept as evidence and the pair "
            "is frozen until two approvers lift it."
        ),
        severity="critical",
    ),
    Reason(
        3003,
        "SEQUENCE_GAP",
        Retry.SAME_BYTES,
        "OUT_OF_RANGE",
        zh="消息序号不连续：应为{expected}，收到{received}。请从{expected}重新发送。",
        en="The sequence has a gap: {expected} was expected, {received} came. Send again from {expected}.",
        severity="warning",
    ),
    Reason(
        3004,
        "SESSION_FENCED",
        Retry.NEVER,
        "ABORTED",
        zh="会话{session}已被更新的会话取代，请重新连接。",
        en="Session {session} was replaced by a newer one; connect again.",
    ),
    Reason(
        3005,
        "ALREADY_DECIDED",
        Retry.NEVER,
        "FAILED_PRECONDITION",
        zh="转移{transfer_id}已作出决定：{outcome}，不能更改。",
        en="Transfer {transfer_id} has been decided: {outcome}. It cannot change.",
    ),
    Reason(
        3006,
        "NEED_PREPARE",
        Retry.WAIT,
        "FAILED_PRECONDITION",
        zh="桥未保存转移{transfer_id}的预备消息，请随答复一并退回该消息。",
        en="The bridge does not hold the Prepare of transfer {transfer_id}; return it beside your answer.",
        severity="info",
    ),
    Reason(
        3007,
        "TRANSFER_UNKNOWN",
        Retry.WAIT,
        "NOT_FOUND",
        zh="未找到转移{transfer_id}；请附上转出地区签名的锁定声明再查询。",
        en="Transfer {transfer_id} is not known here; ask again with the source's signed lock assertion.",
    ),
    Reason(
        3008,
        "WITHDRAWN",
        Retry.NEVER,
        "ABORTED",
        zh="持有人已撤回转移{transfer_id}，减排量已退回原账户。",
        en="The holder withdrew transfer {transfer_id}; the units went back to the account.",
        severity="info",
    ),
    Reason(
        3009,
        "DECIDE_BY_PASSED",
        Retry.AFTER_FIX,
        "ABORTED",
        zh="转移{transfer_id}未在期限内得到转入地区的答复，已取消；减排量已退回，可重新发起。",
        en=(
            "The destination did not answer transfer {transfer_id} in time; it was aborted and the "
            "units went back. You may start again."
        ),
        severity="warning",
    ),
    Reason(
        3010,
        "ID_REFUSED_BEFORE",
        Retry.NEVER,
        "FAILED_PRECONDITION",
        zh="编号{id}此前已被拒绝，须使用新的编号。",
        en="The id {id} was refused before; use a new one.",
    ),
    Reason(
        3011,
        "DECISION_VOID",
        Retry.NEVER,
        "FAILED_PRECONDITION",
        zh="对转移{transfer_id}的决定所引用的消息与本节点签名的不符，决定无效，已作为证据保存。",
        en=(
            "The decision on transfer {transfer_id} names a message that this node did not sign; it "
            "is void and kept as evidence."
        ),
        severity="critical",
    ),
    Reason(
        3012,
        "MESSAGE_OUT_OF_PLACE",
        Retry.NEVER,
        "FAILED_PRECONDITION",
        zh="{id}当前状态为{state}，不接受消息{message}。",
        en="{id} is in state {state} and accepts no {message}.",
    ),
    Reason(
        3013,
        "TRANSFER_DROPPED",
        Retry.NEVER,
        "FAILED_PRECONDITION",
        zh="转移{transfer_id}已被取消，不再受理其预备消息。",
        en="Transfer {transfer_id} was dropped; a Prepare for it is no longer accepted.",
    ),
    Reason(
        3014,
        "WITHDRAW_NOT_POSSIBLE",
        Retry.NEVER,
        "FAILED_PRECONDITION",
        zh="{transfer_id}为注销或取消，持有人不能撤回。",
        en="{transfer_id} is a use; its holder cannot withdraw it.",
    ),
    Reason(
        3015,
        "INCARNATION_STALE",
        Retry.NEVER,
        "ABORTED",
        zh="节点化身{incarnation}已过期，当前为{expected}。",
        en="Incarnation {incarnation} of the node is stale; {expected} is current.",
    ),
    Reason(
        3016,
        "OPENING_MISMATCH",
        Retry.NEVER,
        "INVALID_ARGUMENT",
        zh="收款地址或权属承诺的开启值与承诺不符（{transfer_id}）。",
        en="An opening does not fit the commitment it belongs to ({transfer_id}).",
    ),
    Reason(
        3017,
        "DECISION_PENDING",
        Retry.WAIT,
        "FAILED_PRECONDITION",
        zh="转移{transfer_id}尚未作出决定，请稍后查询。",
        en="Transfer {transfer_id} has not been decided yet; ask again later.",
        severity="info",
    ),
    Reason(
        3018,
        "MESSAGE_NOT_CURRENT",
        Retry.NEVER,
        "FAILED_PRECONDITION",
        zh="消息{id}引用的前一消息与记录不符。",
        en="Message {id} answers another message than the one on record.",
    ),
    Reason(
        3019,
        "LOG_CHECK_FAILED",
        Retry.NEVER,
        "FAILED_PRECONDITION",
        zh="日志检查未通过（{check}）：{detail}。",
        en="A check of the log failed ({check}): {detail}.",
    ),
    Reason(
        3020,
        "MIRROR_INVALID",
        Retry.AFTER_FIX,
        "FAILED_PRECONDITION",
        zh="镜像文件{file}不可用：{detail}。",
        en="The mirror {file} cannot be used: {detail}.",
    ),
    Reason(
        3021,
        "MIRRORS_MISSING",
        Retry.AFTER_FIX,
        "FAILED_PRECONDITION",
        zh="可用镜像{have}个，至少需要{needed}个，否则可能存在更长的镜像；尚缺：{missing}。",
        en="{have} sound mirrors are here and {needed} are needed, for a longer one may exist; "
        "missing: {missing}.",
    ),
    Reason(
        3022,
        "MIRROR_RECORD_UNSOUND",
        Retry.AFTER_FIX,
        "FAILED_PRECONDITION",
        zh="任何镜像都没有第{index}条日志的完好记录：{detail}。",
        en="No mirror has a sound record of log index {index}: {detail}.",
    ),
    Reason(
        3023,
        "JOURNAL_INDEX_AHEAD",
        Retry.WAIT,
        "OUT_OF_RANGE",
        zh="账簿目前止于序号{head}，尚无序号{index}。",
        en="The journal stands at index {head}; there is no index {index} yet.",
    ),
    Reason(
        3024,
        "JOURNAL_INDEX_TOO_EARLY",
        Retry.AFTER_FIX,
        "OUT_OF_RANGE",
        zh="清单历史自账簿序号{first}起保存，无法给出序号{index}时的清单。",
        en="Earlier states of lists are kept from journal index {first} on; {index} is before it.",
    ),
    Reason(
        3025,
        "WISHES_EXCEEDED",
        Retry.WAIT,
        "RESOURCE_EXHAUSTED",
        zh="{peer}要求补发的{what}超过上限{limit}且长时间不接收，会话已结束；下次会话将重新提供全部未决内容。",
        en=(
            "{peer} asked for more than {limit} {what} to be sent and did not take them; the session was "
            "ended. The next one offers all that is undecided again."
        ),
        severity="critical",
    ),
)
