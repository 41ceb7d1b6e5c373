"""Policies: the example of C2SP tlog-policy, cases of transparency-dev/formats, and the federation's rule.

Vectors: C2SP tlog-policy (the example with two levels of groups); transparency-dev/formats (Apache-2.0),
policy/tlog_policy_test.go, whose witness keys and nested quorum are used here. One of its cases ends without
a newline and is accepted there; here it is refused, for the document says that every line is terminated.
"""

from __future__ import annotations

from base64 import b64decode
from hashlib import sha256
from itertools import combinations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.tlog.checkpoint import Checkpoint, sign_checkpoint
from tanqiao.tlog.cosignature import cosign
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.keys import KeyType, NoteSigner
from tanqiao.tlog.merkle import hash_leaf
from tanqiao.tlog.policy import (
    QUORUM_NONE,
    Group,
    Policy,
    PolicyLog,
    PolicyWitness,
    federation_policy,
    parse_policy,
    require_federation_quorum,
    satisfied,
    verify_checkpoint,
)


def signer(name: str, key_type: KeyType = KeyType.COSIGNATURE_V1) -> NoteSigner:
    seed = sha256(f"{name} {key_type}".encode()).digest()
    return NoteSigner.from_private_key(name, Ed25519PrivateKey.from_private_bytes(seed), key_type)


def published(name: str, encoded: str) -> NoteSigner:
    return NoteSigner.from_private_key(
        name, Ed25519PrivateKey.from_private_bytes(b64decode(encoded)[1:]), KeyType.COSIGNATURE_V1
    )


LOG = signer("example.com/log", KeyType.ED25519)
WIT1 = published("Wit1", "AeadRiG7XM4XiieCHzD8lxysXMwcViy5nYsoXURWGrlE")
WIT2 = published("Wit2", "AfPTvxw5eUcqSgivo2vaiC7JPOMUZ/9baHPSDrWqgdGm")
WIT3 = published("Wit3", "AR2Kg8k6ccBr5QXz5SHtnkOS4UGQGEQaWi6Gfr6Mm3X5")
CHECKPOINT = Checkpoint("example.com/log", 42, bytes(32))


def lines(*words: str) -> bytes:
    return "".join(f"{line}\n" for line in words).encode()


def log_line() -> str:
    return f"log {LOG.key.encode()}"


def witness_line(name: str, witness: NoteSigner | None = None) -> str:
    return f"witness {name} {(witness or signer(name)).key.encode()}"


def refusal(check: object, *arguments: object) -> str:
    with pytest.raises(TlogError) as caught:
        check(*arguments)  # type: ignore[operator]
    return caught.value.reason


def checkpoint_by(*witnesses: NoteSigner) -> bytes:
    note = sign_checkpoint(CHECKPOINT, LOG)
    return note.with_signatures(cosign(note.text, witness, 7) for witness in witnesses).encode()


EXAMPLE = lines(
    log_line(),
    "",
    *(witness_line(name) for name in ("X1", "X2", "X3")),
    "group X-witnesses 2 X1 X2 X3",
    "",
    *(witness_line(name) for name in ("Y1", "Y2", "Y3")),
    "group Y-witnesses any Y1 Y2 Y3",
    "",
    "group X-and-Y all X-witnesses Y-witnesses",
    "quorum X-and-Y",
)


def test_the_example_of_the_document_means_what_it_says() -> None:
    policy = parse_policy(EXAMPLE)
    assert policy.groups == (
        Group("X-witnesses", 2, ("X1", "X2", "X3")),
        Group("Y-witnesses", 1, ("Y1", "Y2", "Y3")),
        Group("X-and-Y", 2, ("X-witnesses", "Y-witnesses")),
    )
    assert policy.quorum_size == 3
    names = [witness.name for witness in policy.witnesses]
    for count in range(7):
        for chosen in combinations(names, count):
            two_of_x = sum(name.startswith("X") for name in chosen) >= 2
            one_of_y = any(name.startswith("Y") for name in chosen)
            assert policy.is_quorum(chosen) == (two_of_x and one_of_y)


def test_a_policy_is_written_in_the_plain_form_and_read_back() -> None:
    policy = parse_policy(EXAMPLE)
    assert parse_policy(policy.encode()) == policy
    assert b"group Y-witnesses 1 Y1 Y2 Y3\n" in policy.encode()


def test_published_forms_are_read() -> None:
    assert parse_policy(b"quorum none\n") == Policy((), (), (), QUORUM_NONE)
    spaced = parse_policy(
        b"\n# comment\n\t # another comment\n\twitness \t w1  "
        + WIT1.key.encode().encode()
        + b"   https://w1.example.com/  \n\n  quorum\tw1\n"
    )
    assert spaced.witnesses == (PolicyWitness("w1", WIT1.key, "https://w1.example.com/"),)
    words = parse_policy(
        lines(witness_line("all"), witness_line("any"), "group group 2 all any", "quorum group")
    )
    assert words.groups == (Group("group", 2, ("all", "any")),)
    opaque = b"witness KKlvin-w\x80 " + WIT1.key.encode().encode() + b"\nquorum KKlvin-w\x80\n"
    assert parse_policy(opaque).encode() == opaque


def test_names_that_look_alike_are_different_names() -> None:
    kelvin = lines(witness_line("K"), "quorum \N{KELVIN SIGN}")
    assert refusal(parse_policy, kelvin) == "POLICY_NAME_UNKNOWN"


def test_the_published_witness_keys_satisfy_the_published_nested_quorum() -> None:
    policy = parse_policy(
        lines(
            log_line(),
            witness_line("w1", WIT1),
            witness_line("w2", WIT2),
            witness_line("w3", WIT3),
            "group inner any w2 w3",
            "group outer all w1 inner",
            "quorum outer",
        )
    )
    assert satisfied(checkpoint_by(WIT1, WIT2, WIT3), policy)
    assert satisfied(checkpoint_by(WIT1, WIT3), policy)
    assert not satisfied(checkpoint_by(WIT1), policy)
    assert not satisfied(checkpoint_by(WIT2, WIT3), policy)
    assert not satisfied(checkpoint_by(), policy)


def test_a_single_witness_can_be_the_quorum_and_none_needs_nobody() -> None:
    single = parse_policy(lines(log_line(), witness_line("w1", WIT1), "quorum w1"))
    assert (single.quorum_size, single.needs_witnesses) == (1, True)
    verified = verify_checkpoint(checkpoint_by(WIT1), single)
    assert (verified.checkpoint, verified.witnesses["w1"].time_seconds) == (CHECKPOINT, 7)
    assert refusal(verify_checkpoint, checkpoint_by(), single) == "QUORUM_NOT_REACHED"
    nobody = parse_policy(lines(log_line(), witness_line("w1", WIT1), "quorum none"))
    assert (nobody.quorum_size, nobody.needs_witnesses) == (0, False)
    assert dict(verify_checkpoint(checkpoint_by(), nobody).witnesses) == {}


def test_a_policy_without_logs_accepts_no_checkpoint() -> None:
    policy = parse_policy(lines(witness_line("w1", WIT1), "quorum w1"))
    assert refusal(verify_checkpoint, checkpoint_by(WIT1), policy) == "LOG_UNKNOWN"


def test_the_newest_cosignature_of_a_witness_counts_once() -> None:
    policy = parse_policy(
        lines(
            log_line(),
            witness_line("w1", WIT1),
            witness_line("w2", WIT2),
            "group g all w1 w2",
            "quorum g",
        )
    )
    note = sign_checkpoint(CHECKPOINT, LOG)
    texts = [cosign(note.text, WIT1, time).encode() for time in (9, 8)]
    twice = note.encode() + "".join(texts).encode()
    assert refusal(verify_checkpoint, twice, policy) == "QUORUM_NOT_REACHED"
    both = twice + cosign(note.text, WIT2, 1).encode().encode()
    assert verify_checkpoint(both, policy).witnesses["w1"].time_seconds == 9


def test_the_line_at_fault_is_named() -> None:
    with pytest.raises(TlogError) as caught:
        parse_policy(lines("# head", log_line(), "witness w1", "quorum w1"))
    assert (caught.value.reason, caught.value.detail[:7]) == ("POLICY_LINE", "line 3:")
    assert "line 3" in caught.value.sentence_in("zh")


def test_the_size_of_a_policy_is_bounded() -> None:
    assert refusal(parse_policy, b"#" * 300_000 + b"\n") == "POLICY_TOO_LARGE"
    many = lines(*(witness_line(f"w{number}") for number in range(257)), "quorum none")
    assert refusal(parse_policy, many) == "POLICY_TOO_MANY"
    logs = lines(
        *(f"log {signer(f'{n}.example', KeyType.ED25519).key.encode()}" for n in range(65)), "quorum none"
    )
    assert refusal(parse_policy, logs) == "POLICY_TOO_MANY"


def test_groups_may_be_nested_as_deep_as_groups_are_allowed() -> None:
    chain = ["group g0 any w"] + [f"group g{n} all g{n - 1}" for n in range(1, 256)]
    policy = parse_policy(lines(witness_line("w"), *chain, "quorum g255"))
    assert policy.is_quorum(["w"])
    assert not policy.is_quorum([])
    assert policy.quorum_size == 1


@pytest.mark.parametrize(("count", "quorum"), [(3, 2), (4, 3), (5, 3), (7, 4), (34, 18)])
def test_the_federation_needs_the_smallest_majority_of_its_witnesses(count: int, quorum: int) -> None:
    policy = federation_policy([LOG.key], [(f"w{n}", signer(f"w{n}").key) for n in range(count)])
    assert policy.quorum_size == quorum
    names = [f"w{n}" for n in range(count)]
    assert policy.is_quorum(names[:quorum])
    assert not policy.is_quorum(names[: quorum - 1])


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_federation_of_fewer_than_three_witnesses_has_no_quorum(count: int) -> None:
    witnesses = [(f"w{n}", signer(f"w{n}").key) for n in range(count)]
    assert refusal(federation_policy, [LOG.key], witnesses) == "POLICY_QUORUM_WEAK"


def test_a_quorum_of_half_or_of_all_is_refused_for_the_federation() -> None:
    four = [witness_line(f"w{n}") for n in range(4)]
    for rule in ("2", "all", "any"):
        policy = parse_policy(lines(*four, f"group g {rule} w0 w1 w2 w3", "quorum g"))
        assert refusal(require_federation_quorum, policy) == "POLICY_QUORUM_WEAK"
    require_federation_quorum(parse_policy(lines(*four, "group g 3 w0 w1 w2 w3", "quorum g")))


def test_a_policy_that_was_not_read_is_checked_all_the_same() -> None:
    log, witness = PolicyLog(LOG.key), PolicyWitness("w", WIT1.key)
    assert refusal(Policy, (PolicyLog(WIT1.key),), (), (), QUORUM_NONE) == "KEY_TYPE"
    assert refusal(Policy, (log, log), (), (), QUORUM_NONE) == "POLICY_KEY_TWICE"
    other = PolicyWitness("w", WIT2.key)
    assert refusal(Policy, (log,), (witness, other), (), QUORUM_NONE) == "POLICY_NAME_TWICE"
    assert refusal(Policy, (log,), (witness,), (Group("g", 2, ("w",)),), "g") == "POLICY_THRESHOLD"
    assert refusal(Policy, (log,), (witness,), (Group("g", 1, ("x",)),), "g") == "POLICY_NAME_UNKNOWN"
    assert refusal(Policy, (log,), (witness,), (Group("w", 1, ("w",)),), "w") == "POLICY_NAME_TWICE"
    assert refusal(Policy, (log,), (witness,), (Group("g", 2, ("w", "w")),), "g") == "POLICY_MEMBER_TWICE"
    assert refusal(Policy, (log,), (witness,), (Group("none", 1, ("w",)),), "none") == "POLICY_NAME_RESERVED"
    assert refusal(Policy, (log,), (PolicyWitness("a b", WIT1.key),), (), "a b") == "POLICY_LINE"
    assert refusal(Policy, (log,), (witness,), (), "nobody") == "POLICY_NAME_UNKNOWN"


@given(st.data())
def test_a_group_of_any_threshold_counts_its_members(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 6))
    threshold = data.draw(st.integers(1, count))
    names = [f"w{n}" for n in range(count)]
    policy = parse_policy(
        lines(*map(witness_line, names), f"group g {threshold} {' '.join(names)}", "quorum g")
    )
    chosen = data.draw(st.sets(st.sampled_from([*names, "stranger"])))
    assert policy.is_quorum(chosen) == (len(chosen - {"stranger"}) >= threshold)
    assert policy.quorum_size == threshold


def test_the_root_in_a_verified_checkpoint_is_the_signed_one() -> None:
    policy = parse_policy(lines(log_line(), "quorum none"))
    other = sign_checkpoint(Checkpoint("example.com/log", 1, hash_leaf(b"x")), LOG)
    assert verify_checkpoint(other.encode(), policy).checkpoint.root == hash_leaf(b"x")
