"""Clients of a served node, one for each role's certificate, and dossiers as sentences over gRPC."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from tanqiao.api.region.v1 import dossiers_pb2
from tanqiao.client.servers import RegionClient
from tanqiao.signing.certificates import TlsFiles
from tanqiao.testing.network import NetworkOfTest
from tests.contract.region.harness import Node
from tests.contract.region_registers.office import request_id

METHODOLOGY = dossiers_pb2.DOSSIER_KIND_METHODOLOGY
NORM = dossiers_pb2.DOSSIER_KIND_SCENE_NORM
SCENE = dossiers_pb2.DOSSIER_KIND_LOW_CARBON_SCENE
BEHAVIOUR = dossiers_pb2.DOSSIER_KIND_BEHAVIOUR_SCENE
OPERATOR = dossiers_pb2.DOSSIER_KIND_DATA_OPERATOR
PROVIDER = dossiers_pb2.DOSSIER_KIND_RIGHTS_PROVIDER
THIRD_PARTY = dossiers_pb2.DOSSIER_KIND_THIRD_PARTY


@dataclass
class Wire:
    """A node that serves, and who calls it."""

    network: NetworkOfTest
    node: Node
    _clients: dict[str, RegionClient] = field(default_factory=dict)

    def role(self, role: str) -> RegionClient:
        """The client of a body of this region, or of `reader/national`."""
        if role not in self._clients:
            code = self.node.party.removeprefix("region/")
            home = self.network.network.home
            reader = role.removeprefix("reader/")
            folder = home / "operators" / code / role if reader == role else home / "readers" / reader
            tls = TlsFiles.of(folder / "tls")
            address = self.node.region.server.address
            self._clients[role] = RegionClient(self.node.party, address, tls)
        return self._clients[role]

    def close(self) -> None:
        """End every connection."""
        for client in self._clients.values():
            client.close()

    def open(self, role: str, kind: Any, dossier_id: str, **values: Any) -> Any:
        """Open a dossier."""
        values.setdefault("title", "虚构 invented")
        dossier = dossiers_pb2.Dossier(kind=kind, dossier_id=dossier_id, invented=True, **values)
        request = dossiers_pb2.OpenDossierRequest(request_id=request_id(), dossier=dossier)
        return self.role(role).dossiers.OpenDossier(request).dossier

    def step(self, role: str, kind: Any, dossier_id: str, event: str, **evidence: Any) -> Any:
        """Take a step."""
        request = dossiers_pb2.TakeStepRequest(
            request_id=request_id(),
            kind=kind,
            dossier_id=dossier_id,
            event=event,
            evidence=dossiers_pb2.StepEvidence(**evidence),
        )
        return self.role(role).dossiers.TakeStep(request).dossier

    def sign(self, role: str, kind: Any, dossier_id: str, event: str, **evidence: Any) -> Any:
        """Sign a decision that is taken together with the key of the body's first officer, and hand it in."""
        code = self.node.party.removeprefix("region/")
        request = dossiers_pb2.SignStepRequest(
            request_id=request_id(),
            kind=kind,
            dossier_id=dossier_id,
            event=event,
            evidence=dossiers_pb2.StepEvidence(**evidence),
            validate_only=True,
        )
        to_sign = self.role(role).dossiers.SignStep(request).to_sign
        request.request_id, request.validate_only = request_id(), False
        request.statement.CopyFrom(self.network.decision(to_sign, (f"operator/{code}/{role}", 1)))
        return self.role(role).dossiers.SignStep(request)

    def share(self, role: str, dossier_id: str, *, commitment: bytes = b"", share: bytes = b"") -> Any:
        """Commit to a share of the seed, or reveal it."""
        request = dossiers_pb2.GiveSeedShareRequest(
            request_id=request_id(), kind=METHODOLOGY, dossier_id=dossier_id
        )
        if commitment:
            request.commitment = commitment
        else:
            request.share = share
        return self.role(role).dossiers.GiveSeedShare(request).dossier

    def expert(self, role: str, expert_id: str, **values: Any) -> Any:
        """Appoint an expert."""
        expert = dossiers_pb2.Expert(expert_id=expert_id, **values)
        request = dossiers_pb2.KeepExpertRequest(request_id=request_id(), expert=expert)
        return self.role(role).dossiers.KeepExpert(request).expert

    def history(self, role: str, kind: Any, dossier_id: str) -> list[Any]:
        """Every step of a dossier."""
        request = dossiers_pb2.ListDossierStepsRequest(kind=kind, dossier_id=dossier_id)
        return list(self.role(role).dossiers.ListDossierSteps(request).steps)


def committed(share: bytes) -> bytes:
    """The commitment to a share."""
    return hashlib.sha256(share).digest()
