"""The writer's handlers of orders, by the class of their command."""

from __future__ import annotations

from typing import cast

from tanqiao_bridge.application import corrections, freezes, witness_groups
from tanqiao_bridge.application.adopting import adopt_after_correction
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.corrections import SubmitCorrection
from tanqiao_bridge.application.engine import OtherHandler
from tanqiao_bridge.application.freezes import SubmitFreeze
from tanqiao_bridge.application.witness_groups import ReplaceGroup


def order_handlers() -> dict[type, OtherHandler]:
    """Give the handlers of freezes, corrections and changes of the group of witnesses."""

    def freeze(group: Group, command: object) -> object:
        return freezes.submit_freeze(group, cast("SubmitFreeze", command))

    def correct(group: Group, command: object) -> object:
        answer = corrections.submit_correction(group, cast("SubmitCorrection", command))
        adopt_after_correction(group)
        return answer

    def replace_witnesses(group: Group, command: object) -> object:
        return witness_groups.replace_group(group, cast("ReplaceGroup", command))

    return {SubmitFreeze: freeze, SubmitCorrection: correct, ReplaceGroup: replace_witnesses}
