"""Experience values of behaviour scenes (SH-10, SH-24b): a third quantity, with a ledger of its own.

They grow or are corrected, are shown to the person alone, and have no way out: nothing of this module
touches units or points, and who asks is refused by the article.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Final

from tanqiao.api.region.v1 import scenes_pb2
from tanqiao.db.engine import Database
from tanqiao.kernel.errors import Bilingual, DomainError
from tanqiao.kernel.ids import ACCOUNT_ID_LENGTH_MAX
from tanqiao.rpc.validation import optional_text, require_count, require_enum, require_text
from tanqiao_region.application import journal
from tanqiao_region.application.access import operators_of, represents
from tanqiao_region.application.claim_steps import Ask, Submit
from tanqiao_region.application.commands import By
from tanqiao_region.application.dossier_acts import BEHAVIOUR_SCENE
from tanqiao_region.application.group import Group
from tanqiao_region.application.register_checks import (
    OPINION_LENGTH_MAX,
    act_facts,
    once,
    require_id,
)
from tanqiao_region.application.rules import subject_of
from tanqiao_region.domain.rules import facts as acts
from tanqiao_region.storage import dossiers as dossier_store
from tanqiao_region.storage import experience as store
from tanqiao_region.storage.accounts import AccountRow, load_accounts
from tanqiao_region.storage.experience import ExperienceRow

RECORDS_MAX: Final = 1000
VALUE_MAX: Final = 1_000_000_000
"""More than a person's whole activity; beyond it a record is a slip."""
ACTIVE: Final = "ACTIVE"
TARGETS: Final = {
    scenes_pb2.EXPERIENCE_TARGET_REDUCTIONS: "unit",
    scenes_pb2.EXPERIENCE_TARGET_POINTS: "points",
}


class Experience:
    """Records and shows experience values.

    Args:
        database: for reading.
        submit: the node's writer.
    """

    def __init__(self, database: Database, submit: Submit) -> None:
        self._database = database
        self._submit = submit

    def record(
        self, ask: Ask, request: scenes_pb2.RecordExperienceRequest
    ) -> scenes_pb2.RecordExperienceResponse:
        """Record values of one scene, all or none."""
        kept = self._submit(lambda group: once(group, ask, lambda: _record(group, ask.by, request)))
        return scenes_pb2.RecordExperienceResponse.FromString(kept)

    def convert(
        self, ask: Ask, request: scenes_pb2.ConvertExperienceRequest
    ) -> scenes_pb2.ConvertExperienceResponse:
        """Refuse, with the article."""
        kept = self._submit(lambda group: once(group, ask, lambda: _convert(group, ask.by, request)))
        return scenes_pb2.ConvertExperienceResponse.FromString(kept)

    def of_account(self, by: By, account_id: str) -> scenes_pb2.GetExperienceResponse:
        """Give the values of an account by scene; ACCOUNT_UNKNOWN for anybody but its holder."""
        with self._database.reading() as connection:
            accounts = load_accounts(connection, [account_id])
            accounts.update(load_accounts(connection, sorted(operators_of(accounts.values()))))
            _require_holder(by, accounts.get(account_id), accounts, account_id)
            sums = store.experience_of(connection, [account_id])
        return scenes_pb2.GetExperienceResponse(
            scenes=[
                scenes_pb2.SceneExperience(scene_id=scene_id, value=value)
                for (_, scene_id), value in sums.items()
            ]
        )


def _require_holder(
    by: By, account: AccountRow | None, accounts: dict[str, AccountRow], account_id: str
) -> AccountRow:
    if account is None or not represents(by, account, accounts):
        raise DomainError("ACCOUNT_UNKNOWN", field="account_id", account_id=account_id[:32])
    return account


def _record(
    group: Group, by: By, request: scenes_pb2.RecordExperienceRequest
) -> scenes_pb2.RecordExperienceResponse:
    scene_id = require_id(request.scene_id, "scene_id")
    require_count(request.records, "records", limit=RECORDS_MAX)
    reason = optional_text(request.correction_reason, "correction_reason", length_max=OPINION_LENGTH_MAX)
    rows = [_checked(one, f"records[{at}]", reason) for at, one in enumerate(request.records)]
    scene = dossier_store.load_dossier(group.connection, BEHAVIOUR_SCENE, scene_id)
    if scene is None:
        raise DomainError("NOT_FOUND", field="scene_id", what="behaviour_scene", id=scene_id)
    facts = acts.DecideBehaviourScene(**act_facts(group, by), scene_id=scene_id, yields=scene.message.yields)
    verdict = group.pack.require_duty(facts, (acts.DecideBehaviourScene.act(),))
    if scene.message.state != ACTIVE:
        raise DomainError(
            "STATE_NOT_ALLOWED", what="behaviour_scene", id=scene_id, state=scene.message.state, needed=ACTIVE
        )
    fresh = _fresh(group, scene_id, rows)
    _require_persons(group, fresh)
    _require_no_debt(group, scene_id, fresh)
    if fresh:
        index = group.journal.append(
            journal.EXPERIENCE_RECORDED,
            scene_id,
            applied=journal.Applied.of(verdict),
            details={"by": by.party, "records": str(len(fresh)), "digest": _digest(fresh), "reason": reason},
        )
        store.insert_experience(group.connection, scene_id, fresh, journal_index=index)
    return scenes_pb2.RecordExperienceResponse(
        accepted_count=len(rows), unchanged_count=len(rows) - len(fresh)
    )


def _checked(given: scenes_pb2.ExperienceRecord, at: str, reason: str) -> ExperienceRow:
    if given.value == 0 or abs(given.value) > VALUE_MAX:
        raise DomainError("FIELD_INVALID", field=f"{at}.value", detail=f"{given.value}: 1 … {VALUE_MAX}")
    if given.value < 0 and not reason:
        raise DomainError("REASON_REQUIRED", field="correction_reason")
    return ExperienceRow(
        require_id(given.record_id, f"{at}.record_id"),
        require_text(given.account_id, f"{at}.account_id", length_max=ACCOUNT_ID_LENGTH_MAX),
        given.value,
    )


def _fresh(group: Group, scene_id: str, rows: Sequence[ExperienceRow]) -> list[ExperienceRow]:
    """Give the records that are not there yet; a number with two contents is refused."""
    known = store.known_experience(group.connection, scene_id, [row.record_id for row in rows])
    seen: dict[str, ExperienceRow] = {}
    for position, row in enumerate(rows):
        field = f"records[{position}].record_id"
        if row.record_id in seen:
            raise DomainError("DUPLICATE_KEY", field=field, key=row.record_id, where="records")
        if known.get(row.record_id, row) != row:
            raise DomainError("DUPLICATE_KEY", field=field, key=row.record_id, where="recorded before")
        seen[row.record_id] = row
    return [row for row in rows if row.record_id not in known]


def _require_persons(group: Group, rows: Sequence[ExperienceRow]) -> None:
    """Demand accounts of persons: the values show what a person contributes (SH-24b)."""
    accounts = group.load_accounts(sorted({row.account_id for row in rows}))
    for row in rows:
        account = accounts.get(row.account_id)
        if account is None:
            raise DomainError("ACCOUNT_UNKNOWN", field="records.account_id", account_id=row.account_id)
        if not account.is_personal:
            raise DomainError("INDIVIDUAL_ONLY", field="records.account_id")


def _require_no_debt(group: Group, scene_id: str, rows: Sequence[ExperienceRow]) -> None:
    """Refuse a correction that takes more than there is."""
    if all(row.value > 0 for row in rows):
        return
    sums = store.experience_of(group.connection, [row.account_id for row in rows])
    changes: Counter[str] = Counter()
    for row in rows:
        changes[row.account_id] += row.value
    for account_id, change in changes.items():
        left = sums.get((account_id, scene_id), 0) + change
        if left < 0:
            detail = Bilingual(f"更正后为{left}", f"{left} would be left")
            raise DomainError("FIELD_INVALID", field="records.value", detail=detail)


def _digest(rows: Sequence[ExperienceRow]) -> str:
    """Give SHA-256 over the records in the order of their numbers, hexadecimal."""
    digest = hashlib.sha256()
    for row in sorted(rows, key=lambda one: one.record_id):
        digest.update(f"{row.record_id}\t{row.account_id}\t{row.value}\n".encode())
    return digest.hexdigest()


def _convert(
    group: Group, by: By, request: scenes_pb2.ConvertExperienceRequest
) -> scenes_pb2.ConvertExperienceResponse:
    account_id = require_text(request.account_id, "account_id", length_max=ACCOUNT_ID_LENGTH_MAX)
    require_enum(request.target, "target")
    accounts = dict(group.load_accounts([account_id]))
    accounts.update(group.load_accounts(sorted(operators_of(accounts.values()))))
    account = _require_holder(by, accounts.get(account_id), accounts, account_id)
    group.pack.require(
        acts.ConvertHolding(
            **act_facts(group, by),
            holding=acts.HoldingKind.EXPERIENCE_VALUE,
            target=TARGETS[request.target],
            holder=subject_of(account, group.context.region_code),
        )
    )
    # A text that is silent opens no way out either.
    raise DomainError("EXPERIENCE_VALUE_NOT_CONVERTIBLE", field="target")
