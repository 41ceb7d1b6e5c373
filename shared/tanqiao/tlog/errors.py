"""The only exception family that leaves this package, whatever bytes are put into it.

A verifier is run by people who trust nobody: an auditor's script must be able to tell "this file is bad, for
this reason" from "the program is broken". Every refusal therefore is a `TlogError` with a machine reason of
the catalogue below, a sentence in Chinese and English and, where one helps, a detail.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["REASONS", "TlogError"]

MAX_DETAIL_CHARACTERS: Final = 200

# Reason -> (English sentence, Chinese sentence). A reason is never reused for another meaning.
REASONS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        # Merkle trees (RFC 6962, RFC 9162 section 2.1)
        "HASH_SIZE": ("A hash is not 32 bytes long.", "哈希值长度不是32字节。"),
        "TREE_SIZE": ("The tree size is out of range.", "树的大小超出范围。"),
        "INDEX_OUT_OF_TREE": ("The index lies outside the tree.", "序号不在树的范围内。"),
        "SIZES_DECREASE": ("A log cannot shrink.", "日志不能变小。"),
        "PROOF_LENGTH": (
            "The proof does not have the number of hashes that index and size demand.",
            "证明中的哈希数量与序号和树的大小不符。",
        ),
        "INCLUSION_NOT_PROVEN": (
            "The proof does not lead from the leaf to the root of the checkpoint.",
            "证明不能从叶子推导到检查点的树根。",
        ),
        "CONSISTENCY_NOT_PROVEN": (
            "The proof does not show that the larger tree extends the smaller one.",
            "证明不能说明较大的树是较小的树的延续。",
        ),
        "HASH_MISSING": ("The hash reader has no hash for a node of the tree.", "缺少树中某个节点的哈希值。"),
        # Signed notes (C2SP signed-note)
        "NOTE_TOO_LARGE": ("The note is larger than allowed.", "签名文本超过允许的大小。"),
        "NOTE_NOT_UTF8": ("The note is not valid UTF-8.", "签名文本不是有效的UTF-8编码。"),
        "NOTE_CONTROL_CHARACTER": (
            "The note contains a control character other than newline.",
            "签名文本含有换行以外的控制字符。",
        ),
        "NOTE_NO_SIGNATURES": (
            "The note has no blank line followed by signature lines.",
            "签名文本缺少空行及其后的签名行。",
        ),
        "NOTE_NOT_TERMINATED": ("The note does not end in a newline.", "签名文本未以换行结尾。"),
        "NOTE_TOO_MANY_SIGNATURES": (
            "The note has more signature lines than allowed.",
            "签名行数量超过上限。",
        ),
        "NOTE_SIGNATURE_LINE": (
            "A signature line is not of the form: em dash, space, key name, space, base64.",
            "签名行的格式不正确。",
        ),
        "NOTE_TEXT": ("The text to sign is not a note text.", "待签名的文本不符合格式。"),
        "NOTE_SIGNATURE_WRONG": (
            "A signature under a known key does not verify.",
            "某个已知密钥的签名验证失败。",
        ),
        "KEY_NAME": (
            "A key name is empty, too long, or contains a space or a plus sign.",
            "密钥名称不符合格式。",
        ),
        "KEY_MALFORMED": ("The verifier key is not of the form name+hash+base64.", "验证密钥的格式不正确。"),
        "KEY_HASH_WRONG": ("The key hash does not belong to the name and key.", "密钥摘要与名称和公钥不符。"),
        "KEY_TYPE": ("The key is of a type that is not allowed here.", "此处不允许这种类型的密钥。"),
        "KEY_WEAK": (
            "The public key is a point of small order: anyone could sign for it.",
            "该公钥是小阶点，任何人都能伪造其签名。",
        ),
        # Checkpoints (C2SP tlog-checkpoint) and cosignatures (C2SP tlog-cosignature)
        "CHECKPOINT_LINES": (
            "The checkpoint is not origin, size, root and non-empty extension lines.",
            "检查点的行数或内容不符合格式。",
        ),
        "CHECKPOINT_ORIGIN": ("The origin line is empty or too long.", "来源行为空或过长。"),
        "CHECKPOINT_SIZE": (
            "The tree size is not a canonical decimal number.",
            "树的大小不是规范的十进制数。",
        ),
        "CHECKPOINT_ROOT": (
            "The root hash is not canonical base64 of 32 bytes.",
            "树根不是32字节的规范base64编码。",
        ),
        "CHECKPOINT_EMPTY_ROOT": (
            "The checkpoint of an empty tree does not carry the root of the empty tree.",
            "空树的检查点没有使用空树的树根。",
        ),
        "CHECKPOINT_ORIGIN_WRONG": ("The checkpoint is of another log.", "该检查点属于另一个日志。"),
        "COSIGNATURE_FORM": (
            "A cosignature is not a 64-bit time followed by an Ed25519 signature.",
            "见证签名的格式不正确。",
        ),
        "COSIGNATURE_TIME": ("The time of a cosignature is out of range.", "见证签名的时间超出范围。"),
        # Policies (C2SP tlog-policy)
        "POLICY_TOO_LARGE": ("The policy file is larger than allowed.", "策略文件超过允许的大小。"),
        "POLICY_CHARACTER": (
            "The policy contains a control character other than tab and newline.",
            "策略文件含有制表符和换行以外的控制字符。",
        ),
        "POLICY_NOT_TERMINATED": (
            "The last line of the policy is not terminated; the file may have been cut off.",
            "策略文件最后一行没有换行，文件可能被截断。",
        ),
        "POLICY_KEYWORD": ("A policy line begins with an unknown word.", "策略文件中有未知的关键字。"),
        "POLICY_LINE": ("A policy line has the wrong number of words.", "策略文件某一行的词数不正确。"),
        "POLICY_TOO_MANY": (
            "The policy lists more logs, witnesses or groups than allowed.",
            "策略文件的条目超过上限。",
        ),
        "POLICY_NAME_RESERVED": ("The name none cannot be defined.", "名称none不能被定义。"),
        "POLICY_NAME_TWICE": ("A name is defined twice.", "同一名称被定义了两次。"),
        "POLICY_NAME_UNKNOWN": ("A name is used before it is defined.", "使用了尚未定义的名称。"),
        "POLICY_KEY_TWICE": ("One public key stands in two lines.", "同一公钥出现在两行中。"),
        "POLICY_THRESHOLD": (
            "A threshold is not a number from 1 to the number of members.",
            "门限值不在允许范围内。",
        ),
        "POLICY_MEMBER_TWICE": (
            "A witness or group is a member of more than one group or twice of one.",
            "某见证方或组被重复列为成员。",
        ),
        "POLICY_FROM": (
            "A line from names no size that is larger than the one before.",
            "from行所列的大小无效，或不大于前一个。",
        ),
        "POLICY_QUORUM": ("A policy has exactly one quorum line.", "策略文件必须恰好有一行quorum。"),
        "POLICY_QUORUM_WEAK": (
            "A federation's quorum is more than half of its witnesses and never all of them.",
            "联邦的法定人数必须多于见证方的半数且不得为全部。",
        ),
        "LOG_UNKNOWN": ("No log of the policy signed this checkpoint.", "策略中没有任何日志签署过该检查点。"),
        "QUORUM_NOT_REACHED": ("The witnesses who cosigned are no quorum.", "见证签名未达到法定人数。"),
        # Tiles (C2SP tlog-tiles)
        "TILE_PATH": ("The path does not name a tile.", "路径不是有效的分片路径。"),
        "TILE_SIZE": ("The tile does not have the size that its width demands.", "分片大小与其宽度不符。"),
        "TILE_MISSING": ("The tile cannot be found.", "找不到该分片。"),
        "TILE_WRONG": ("The tile does not belong to the tree of the checkpoint.", "分片不属于该检查点的树。"),
        "TILE_OUT_OF_TREE": ("The tree has no such tile.", "树中没有这个分片。"),
        "BUNDLE_FORM": (
            "The entry bundle is not exactly as many length-prefixed entries as its width.",
            "条目包的格式与其宽度不符。",
        ),
        "ENTRY_WRONG": ("An entry does not hash to the leaf of the tree.", "条目的哈希与树中的叶子不符。"),
        "ENTRY_TOO_LARGE": ("An entry is larger than a bundle can carry.", "条目超过条目包允许的大小。"),
        # Proof files (C2SP tlog-proof)
        "PROOF_TOO_LARGE": ("The proof file is larger than allowed.", "证明文件超过允许的大小。"),
        "PROOF_HEADER": (
            "The file does not begin with the line c2sp.org/tlog-proof@v1.",
            "证明文件首行不正确。",
        ),
        "PROOF_EXTRA": (
            "The extra line is not canonical, non-empty base64.",
            "附加数据行不是规范的base64编码。",
        ),
        "PROOF_INDEX": ("The index line is missing or not a canonical number.", "序号行缺失或不规范。"),
        "PROOF_HASH_LINE": (
            "A hash line is not canonical base64 of 32 bytes.",
            "哈希行不是32字节的规范base64编码。",
        ),
        "PROOF_CUT_OFF": ("The proof file has no checkpoint after its hashes.", "证明文件缺少检查点。"),
        # Leaves
        "LEAF_TOO_LARGE": ("The leaf is larger than a log entry may be.", "叶子超过日志条目允许的大小。"),
        "LEAF_FORM": ("The bytes are not one canonical leaf.", "字节不是唯一规范的叶子编码。"),
        "LEAF_KIND": ("The kind of the leaf is not a word of the log.", "叶子类型不符合命名规则。"),
        "LEAF_FIELD": (
            "A field name is not a word, or the names do not strictly ascend.",
            "字段名不符合规则或未严格递增。",
        ),
        "LEAF_FIELD_MISSING": ("The leaf has no such field.", "叶子缺少该字段。"),
        # Proof files of the federation (tanqiao.offline)
        "FILE_FORM": ("The file is not of the form of a proof file.", "文件不符合证明文件的格式。"),
        "FILE_KIND": ("The file is of a kind that this verifier does not know.", "本验证器不认识该类文件。"),
        "FILE_PARTS": (
            "The parts of the file are not those of its kind, in their order.",
            "文件的各部分或其顺序与其类型不符。",
        ),
        "FILE_TOO_LARGE": ("A part of the file is larger than allowed.", "文件某部分超过允许的大小。"),
        "LEAF_MISSING": ("A bare tlog-proof needs its leaf beside it.", "单独的tlog-proof须附有其叶子。"),
        "CLAIM_FORM": ("The claim of the file is not of the form of its kind.", "文件的主张与其类型不符。"),
        "MESSAGE_REFUSED": (
            "A signed message of the file does not hold.",
            "文件中的某条签名消息不成立。",
        ),
        "MESSAGE_NOT_NAMED": (
            "A message of the file is not one that the leaf names.",
            "文件中的某条消息不是叶子所指的消息。",
        ),
        "KEY_LEAF": ("A leaf that should state a key states none.", "应载明密钥的叶子未载明密钥。"),
        "KEY_RECORD_WRONG": (
            "A key record does not belong to its leaf or suite.",
            "密钥记录与其叶子或算法套件不符。",
        ),
        "KEY_NOT_SHOWN": ("The file does not prove a key that signed.", "文件未证明某个签名所用的密钥。"),
        "KEY_STATED_LATER": (
            "A key was stated in the log only after it had been used.",
            "密钥在使用之后才被载入日志。",
        ),
        "KEY_REVOKED_SHOWN": (
            "The file itself shows that a key was revoked.",
            "文件本身表明某密钥已被撤销。",
        ),
        "DECISION_VOID": (
            "The decision does not rest on these messages.",
            "该决定并非基于这些消息。",
        ),
        "NOT_COMMITTED": ("The decision is not COMMIT.", "该决定不是COMMIT（提交）。"),
        "OPENING_WRONG": ("An opening does not open its commitment.", "所附内容不能打开相应的承诺。"),
        "CERTIFICATE_DIFFERS": (
            "The certificate says something else than what was retired.",
            "证书所载与实际注销的内容不符。",
        ),
        "FILING_INVALID": (
            "The proof of filing does not say what a region may certify.",
            "储备证明所载内容不是地区可以证明的内容。",
        ),
        "HANDOVER_WRONG": (
            "The checkpoint does not hand the log over to another group of witnesses.",
            "该检查点并未将日志移交给另一组见证方。",
        ),
        "POLICY_BEHIND": (
            "The policy lacks an earlier change of witnesses that this one rests on.",
            "策略缺少此前的见证方更换，而本次更换以其为前提。",
        ),
        "RULES_DIGEST_WRONG": (
            "The rule texts are not those that a party of this decision applied.",
            "所附规则文本不是该决定各方所适用的文本。",
        ),
        "ENTRIES_WRONG": (
            "The entries of the file are not all the entries of the log.",
            "文件所载条目不是该日志的全部条目。",
        ),
        "DECISION_MISSING": ("No leaf of the log decides this transfer.", "日志中没有对该转移的决定。"),
        "DECISION_TWICE": (
            "The log decides this transfer more than once.",
            "日志对该转移作出了不止一次决定。",
        ),
        "SERIES_UNKNOWN": ("The log never issued these units.", "日志从未签发这些单位。"),
        "UNITS_TWICE": ("The log issues units that it issued before.", "日志重复签发了已签发的单位。"),
        "UNITS_NOT_THERE": (
            "The log takes units from where they were not.",
            "日志从单位不在之处取走了单位。",
        ),
        "BLOCKS_CUT": (
            "A leaf names so many blocks that its lock must be in the file, and it is not.",
            "某叶子所涉区块过多，文件须附相应的锁定消息，但未附。",
        ),
        "LEAF_UNKNOWN_MOVES": (
            "A leaf of an unknown kind names blocks: this verifier is too old for the log.",
            "未知类型的叶子涉及区块：本验证器版本过旧。",
        ),
        "LOCATION_ROW": (
            "The row of the location map does not prove the claim.",
            "位置图的该行不能证明所主张的内容。",
        ),
        # Sealing, witnessing, evidence
        "LOG_ROLLED_BACK": (
            "The stored leaves do not lead to a root that was already sealed.",
            "存储的叶子与已封存的树根不符。",
        ),
        "LOG_LEAVES_MISSING": ("The leaves are not dense: one is missing.", "叶子序号不连续，缺少某个叶子。"),
        "LOG_FENCED": ("Another sealer has advanced this log.", "另一个封存进程已推进该日志。"),
        "WITNESS_STALE": ("The witness knows a larger tree than the one offered.", "见证方已知更大的树。"),
        "WITNESS_OLD_SIZE": (
            "The proof does not begin at the size that the witness holds.",
            "证明的起点与见证方持有的大小不同。",
        ),
        "WITNESS_SPLIT_VIEW": (
            "The log signed two different trees that cannot both be honest.",
            "日志签署了两棵互相矛盾的树。",
        ),
        "WITNESS_LEAF_REFUSED": (
            "A leaf does not show what it must, and the witness does not cosign a tree with it.",
            "某个叶子未能证明其内容，见证方不签署含有该叶子的树。",
        ),
        "WITNESS_NOT_HANDED_OVER": (
            "The witnesses were replaced, and no checkpoint shows that those before cosigned it.",
            "见证方已被更换，但没有检查点表明原见证方已签署该更换。",
        ),
        "WITNESS_UNKNOWN_LOG": ("The witness does not follow this log.", "见证方未跟踪该日志。"),
        "EVIDENCE_FORM": ("The file is not an evidence file.", "文件不是证据文件。"),
        "EVIDENCE_PROVES_NOTHING": (
            "The two checkpoints can both be honest.",
            "两个检查点并不矛盾。",
        ),
    }
)


class TlogError(Exception):
    """A refusal of a log file, note, proof, policy, tile or leaf.

    Args:
        reason: a key of `REASONS`, for programs.
        detail: what exactly was found, for people; shortened, and never needed to decide anything.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        if reason not in REASONS:
            raise RuntimeError(f"the catalogue does not know the reason {reason}")
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail[:MAX_DETAIL_CHARACTERS]

    @property
    def sentence(self) -> str:
        """The English sentence with the detail, if there is one."""
        return self.sentence_in("en")

    def sentence_in(self, language: Literal["en", "zh"]) -> str:
        """Give the sentence in the language, with the detail, if there is one, in brackets."""
        english, chinese = REASONS[self.reason]
        if language == "zh":
            return f"{chinese}（{self.detail}）" if self.detail else chinese
        return f"{english} ({self.detail})" if self.detail else english

    def __str__(self) -> str:
        return f"{self.reason}: {self.sentence}"
