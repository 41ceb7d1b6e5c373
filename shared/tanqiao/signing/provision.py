"""Makes a whole network on disk: CA, certificates, keys, roots, approvers and `federation.json`.

Layout under the home directory (docs/design.md sections 1 and 6)::

    network/ca.pem, ca.key, federation.json
    <node>/tls/{ca.pem,node.pem,node.key}   <node>/keys/   <node>/federation.json
    operators/<region code>/<role>/tls/     readers/<name>/tls/     witnesses/<name>/{tls,keys}/
    operators/<region code>/<role>/officer-1/  officer-2/          of bodies that sign decisions
    holders/<region code>/<role>/<name>/tls/                       made when an office registers the holder
    authorities/<code or bridge>/root/  approver-1/  approver-2/
    authorities/bridge/recovery/recovery.key                       its public half: <bridge>/keys/recovery.pem

Doing it twice changes nothing; a region that is new in the plan is added. Every private file has mode 0600.
In a real federation each authority makes its own part on its own machine, and roots never touch a node: what
this module puts in one place is for a network whose name begins with ``test-``, or for one to be taken apart.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError, require
from tanqiao.signing.certificates import CertificateAuthority, TlsFiles, require_network_id
from tanqiao.signing.directory import KeyEntry, KeyRole
from tanqiao.signing.envelope import build_header, sign_envelope
from tanqiao.signing.federation import (
    FEDERATION_NAME,
    NO_WITNESSES,
    Federation,
    TrustAnchor,
    WitnessGroup,
    authority_of,
)
from tanqiao.signing.keyring import DIRECTORY_MODE, INDEX_NAME, Keyring, StoredKey
from tanqiao.signing.parties import BRIDGE, parse_party
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.pepper import PEPPER_BYTES, PEPPER_NAME, read_pepper, write_pepper
from tanqiao.signing.recovery_key import PRIVATE_NAME, PUBLIC_NAME, create_recovery_key
from tanqiao.signing.suites import SuiteId

APPROVERS: Final = 2
OFFICERS: Final = 2
MESSAGE_ID_BYTES: Final = 16
HOLDER: Final = "holder/"
LOOPBACK_HOSTS: Final = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class RegionPlan:
    """A region of the network.

    Args:
        code: its code.
        directory: name of its node's directory.
        operator_roles: roles of its operators, each with a certificate.
        signing_roles: those of them whose bodies sign decisions: two officers of each get a key.
    """

    code: str
    directory: str
    operator_roles: tuple[str, ...] = ()
    signing_roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """What the network shall consist of.

    Args:
        network_id: its name.
        regions: regions with their operators.
        gateways: names of the outside registries: ``ccer``, ``gec``.
        readers: names of parties that only read: ``national``.
        hosts: host names and addresses that the servers answer to, besides loopback.
        bridge_directory: name of the bridge's directory.
        witnesses: names of third parties that cosign the bridge's log: ``regulator``.
        quorum: witnesses that make a decision final, regions and third parties alike; 0: none does.
        tokens: whether the bridge has a key for tokens of persons and vehicles, and the regions a pepper.
    """

    network_id: str
    regions: tuple[RegionPlan, ...]
    gateways: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    bridge_directory: str = "bridge"
    witnesses: tuple[str, ...] = ()
    quorum: int = 0
    tokens: bool = False

    def witness_group(self) -> WitnessGroup:
        """Give the witnesses, regions first; none where no quorum is wanted."""
        if not self.quorum:
            return NO_WITNESSES
        regions = tuple(f"region/{region.code}" for region in self.regions)
        return WitnessGroup((*regions, *(f"witness/{name}" for name in self.witnesses)), self.quorum)

    def nodes(self) -> list[tuple[str, str]]:
        """Give (directory, party) of every process that serves."""
        return [
            (self.bridge_directory, BRIDGE),
            *((region.directory, f"region/{region.code}") for region in self.regions),
            *((name, f"gateway/{name}") for name in self.gateways),
        ]

    def callers(self) -> list[tuple[str, str]]:
        """Give (directory, party) of everybody that only calls."""
        operators = [
            (f"operators/{region.code}/{role}", f"operator/{region.code}/{role}")
            for region in self.regions
            for role in region.operator_roles
        ]
        readers = [(f"readers/{name}", f"reader/{name}") for name in self.readers]
        witnesses = [(f"witnesses/{name}", f"witness/{name}") for name in self.witnesses]
        return [*operators, *readers, *witnesses]

    def node_keys(self) -> list[tuple[str, str, KeyRole]]:
        """Give (directory, party, role) of every key that a process signs with."""
        keys = [(directory, party, KeyRole.MESSAGE) for directory, party in self.nodes()]
        logs = [(directory, party) for directory, party in self.nodes() if not party.startswith("gateway/")]
        keys += [(directory, party, KeyRole.CHECKPOINT) for directory, party in logs]
        witnesses = [(directory, party) for directory, party in logs if party != BRIDGE]
        witnesses += [
            (directory, party) for directory, party in self.callers() if party.startswith("witness/")
        ]
        if self.tokens:
            keys.append((self.bridge_directory, BRIDGE, KeyRole.TOKEN))
        return [*keys, *((directory, party, KeyRole.WITNESS) for directory, party in witnesses)]

    def officers(self) -> list[tuple[str, str, str]]:
        """Give (directory, party, officer) of everybody who signs for a region's body."""
        return [
            (f"operators/{region.code}/{role}/{officer}", f"operator/{region.code}/{role}", officer)
            for region in self.regions
            for role in region.signing_roles
            for officer in (f"officer-{number}" for number in range(1, OFFICERS + 1))
        ]

    def authorities(self) -> list[str]:
        """Give the authorities: one for each region, one for the bridge."""
        return [f"authority/{BRIDGE}", *(f"authority/{region.code}" for region in self.regions)]


@dataclass(frozen=True, slots=True)
class Network:
    """A network on disk."""

    home: Path
    plan: NetworkPlan
    federation: Federation
    root_passphrase: bytes | None = field(default=None, repr=False)

    def node(self, party: str) -> Path:
        """Give the directory of a serving party; one that the plan does not name breaks an invariant."""
        return self.home / _directory_of(self.plan.nodes(), party)

    def caller(self, party: str) -> Path:
        """Give the directory of a calling party."""
        return self.home / _directory_of(self.plan.callers(), party)

    def tls(self, party: str) -> TlsFiles:
        """Give the TLS files of any party of the plan, or of a holder."""
        if party.startswith(HOLDER):
            return TlsFiles.of(holder_directory(self.home, party) / "tls")
        directory = _directory_of([*self.plan.nodes(), *self.plan.callers()], party)
        return TlsFiles.of(self.home / directory / "tls")

    def root(self, authority: str) -> StoredKey:
        """Give the root key of an authority."""
        return _authority_ring(self.home, authority, "root", self.root_passphrase).key(KeyRole.ROOT)

    def officer(self, party: str, number: int = 1) -> StoredKey:
        """Give the key of an officer of a body, ``operator/310000/sh.centre``; they count from 1."""
        rings = ((f"{owner}/{officer}", directory) for directory, owner, officer in self.plan.officers())
        directory = dict(rings)[f"{party}/officer-{number}"]
        return Keyring.open(self.home / directory).key(KeyRole.BODY)

    def approvers(self, authority: str) -> list[StoredKey]:
        """Give the approver keys of an authority, in order."""
        return [
            _authority_ring(self.home, authority, f"approver-{number}", None).key(KeyRole.APPROVER)
            for number in range(1, APPROVERS + 1)
        ]


def provision_network(
    home: Path, plan: NetworkPlan, *, now: datetime, root_passphrase: bytes | None = None
) -> Network:
    """Make the network, or what is missing of it; idempotent.

    Args:
        home: directory of everything.
        plan: what shall exist.
        now: present moment, for the certificates.
        root_passphrase: encrypts the root keys on disk; the same one must be given again later.

    Raises:
        DomainError: a file that is there cannot be used (KEY_FILE_INVALID, KEY_FILE_PERMISSIONS, …).
    """
    require_network_id(plan.network_id)
    home.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    network_directory = home / "network"
    network_directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    authority = CertificateAuthority.create(network_directory, plan.network_id, now=now)
    for directory, party in plan.nodes():
        hosts = tuple(dict.fromkeys((*LOOPBACK_HOSTS, *plan.hosts)))
        authority.issue(_tls_files(home / directory), plan.network_id, party, hosts=hosts, now=now)
    for directory, party in plan.callers():
        authority.issue(_tls_files(home / directory), plan.network_id, party, now=now)
    federation = _provision_keys(home, plan, root_passphrase)
    if plan.tokens:
        _provision_pepper([home / region.directory / "keys" for region in plan.regions])
    _provision_recovery_key(home, plan, root_passphrase)
    witnesses = (f"witnesses/{name}" for name in plan.witnesses)
    for directory in ("network", *(directory for directory, _ in plan.nodes()), *witnesses):
        path = home / directory / FEDERATION_NAME
        if not path.exists() or path.read_bytes() != federation.dump():
            path.write_bytes(federation.dump())
    return Network(home, plan, federation, root_passphrase)


def holder_directory(home: Path, party: str) -> Path:
    """Give the directory of a holder's certificate: ``holder/310000/sh.holder/acme``.

    Raises:
        DomainError: FIELD_INVALID for what is no holder's name.
    """
    named = parse_party(party, field="holder_party")
    if named.kind != "holder":
        raise DomainError("FIELD_INVALID", field="holder_party", detail="holder/REGION/ROLE/NAME is wanted")
    return home / "holders" / named.code / named.role / named.name


def issue_holder(home: Path, network_id: str, party: str, *, now: datetime) -> TlsFiles:
    """Make the certificate of a holder of accounts, or leave the good one that is there."""
    authority = CertificateAuthority.create(home / "network", network_id, now=now)
    files = _tls_files(holder_directory(home, party))
    authority.issue(files, network_id, party, now=now)
    return files


def _tls_files(directory: Path) -> TlsFiles:
    files = TlsFiles.of(directory / "tls")
    files.ca.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    return files


def _provision_keys(home: Path, plan: NetworkPlan, root_passphrase: bytes | None) -> Federation:
    path = home / "network" / FEDERATION_NAME
    known = Federation.load(path) if path.exists() else Federation(plan.network_id, (), ())
    anchors = {anchor.owner: anchor for anchor in known.anchors}
    roots: dict[str, StoredKey] = {}
    for owner in plan.authorities():
        root = _ensure_key(_authority_directory(home, owner, "root"), owner, KeyRole.ROOT, root_passphrase)
        roots[owner] = root
        anchors[owner] = TrustAnchor(owner, root.suite, root.public_key, root.signer.key_epoch)
    keys = [
        _ensure_key(home / directory / "keys", party, role, None)
        for directory, party, role in plan.node_keys()
    ]
    holders: dict[bytes, str] = {}
    for owner in plan.authorities():
        for number in range(1, APPROVERS + 1):
            holder = f"approver-{number}"
            key = _ensure_key(_authority_directory(home, owner, holder), owner, KeyRole.APPROVER, None)
            keys.append(key)
            holders[key.signer.key_id] = holder
    for directory, party, officer in plan.officers():
        key = _ensure_key(home / directory, party, KeyRole.BODY, None)
        keys.append(key)
        holders[key.signer.key_id] = officer
    recorded = Federation(plan.network_id, tuple(anchors.values()), known.key_records).directory()
    records = [
        build_key_record(
            plan.network_id,
            roots[authority_of(key.signer.owner)],
            key,
            holder=holders.get(key.signer.key_id, ""),
        )
        for key in keys
        if recorded.get(key.signer.key_id) is None
    ]
    return Federation(
        plan.network_id, tuple(anchors.values()), (*known.key_records, *records), plan.witness_group()
    )


def _provision_pepper(rings: Sequence[Path]) -> None:
    """Give every region the pepper that one of them has, or a new one to all."""
    known = [path for ring in rings if (path := ring / PEPPER_NAME).exists()]
    pepper = read_pepper(known[0]) if known else secrets.token_bytes(PEPPER_BYTES)
    for ring in rings:
        if not (ring / PEPPER_NAME).exists():
            write_pepper(ring / PEPPER_NAME, pepper)


def _provision_recovery_key(home: Path, plan: NetworkPlan, passphrase: bytes | None) -> None:
    private = recovery_key_file(home)
    public = home / plan.bridge_directory / "keys" / PUBLIC_NAME
    if not private.exists() and not public.exists():
        create_recovery_key(private, public, passphrase)


def recovery_key_file(home: Path) -> Path:
    """Name the file with the private half of the recovery key of the bridge's authority."""
    return _authority_directory(home, f"authority/{BRIDGE}", "recovery") / PRIVATE_NAME


def _ensure_key(directory: Path, owner: str, role: KeyRole, passphrase: bytes | None) -> StoredKey:
    if not (directory / INDEX_NAME).exists():
        Keyring.create(directory, owner)
    ring = Keyring.open(directory, passphrase)
    if any(key.signer.role == role for key in ring.keys):
        return ring.key(role)
    return Keyring.add_key(directory, role, passphrase=passphrase)


def build_key_record(
    network_id: str, root: StoredKey, key: StoredKey, *, valid_from_index: int = 0, holder: str = ""
) -> envelope_pb2.Envelope:
    """Give the envelope of a new key's record, signed by the root that vouches for its owner.

    `holder` says in whose hand an approver's or a body's key is.
    """
    entry = replace(key.entry(valid_from_index=valid_from_index), holder=holder)
    return sign_key_record(network_id, root, entry)


def sign_key_record(network_id: str, root: StoredKey, entry: KeyEntry) -> envelope_pb2.Envelope:
    """Give the envelope of a record that states a key as the entry does: its beginning, end or revocation."""
    require(root.signer.owner == authority_of(entry.owner), "the root vouches for the owner of the key")
    record = messages_pb2.KeyRecord(
        header=_record_header(network_id, root),
        owner=entry.owner,
        role=_wire_role(entry.role),
        suite=messages_pb2.Suite.Value(f"SUITE_{SuiteId(entry.suite).name}"),
        public_key=entry.public_key,
        key_epoch=entry.epoch,
        valid_from_index=entry.valid_from_index,
        valid_to_index=entry.valid_to_index or 0,
        revoked=entry.revoked,
        holder=entry.holder,
    )
    return sign_envelope(root.signer, payload_type_of(record), record.SerializeToString())


def build_recognition_record(
    network_id: str, record: messages_pb2.RecognitionRecord, root_keys: Iterable[StoredKey]
) -> envelope_pb2.Envelope:
    """Give the envelope of a recognition record, signed by the roots of both regions.

    Args:
        network_id: network that it is for.
        record: its content; a header that it carries is replaced.
        root_keys: root of ``from_region``'s authority and root of ``to_region``'s; the first is the sender.
    """
    roots = {root.signer.owner: root for root in root_keys}
    wanted = [authority_of(record.from_region), authority_of(record.to_region)]
    require(sorted(roots) == sorted(wanted), "a recognition record is signed by the roots of its two regions")
    complete = messages_pb2.RecognitionRecord()
    complete.CopyFrom(record)
    complete.header.CopyFrom(_record_header(network_id, roots[wanted[0]]))
    signers = [roots[owner].signer for owner in wanted]
    return sign_envelope(signers, payload_type_of(complete), complete.SerializeToString())


def _record_header(network_id: str, root: StoredKey) -> envelope_pb2.Header:
    return build_header(
        root.signer,
        network_id=network_id,
        audience=(BRIDGE,),
        message_id=secrets.token_bytes(MESSAGE_ID_BYTES),
    )


def _wire_role(role: KeyRole) -> messages_pb2.KeyRole.ValueType:
    return messages_pb2.KeyRole.Value(f"KEY_ROLE_{role.name}")


def _authority_directory(home: Path, owner: str, part: str) -> Path:
    return home / "authorities" / parse_party(owner).code / part


def _authority_ring(home: Path, owner: str, part: str, passphrase: bytes | None) -> Keyring:
    return Keyring.open(_authority_directory(home, owner, part), passphrase)


def _directory_of(pairs: Iterable[tuple[str, str]], party: str) -> str:
    for directory, owner in pairs:
        if owner == party:
            return directory
    require(condition=False, message=f"the plan of the network does not name {party}")
    return ""
