"""The writer's handlers of orders, by the class of their command."""

from __future__ import annotations

from typing import cast

from tanqiao_bridge.application import corrections, freezes
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.corrections import SubmitCorrection
from tanqiao_bridge.application.engine import OtherHandler
from tanqiao_bridge.application.freezes import SubmitFreeze


def order_handlers() -> dict[type, OtherHandler]:
    """Give the handlers of freezes and corrections."""

    def freeze(group: Group, command: object) -> object:
        return freezes.submit_freeze(group, cast("SubmitFreeze", command))

    def correct(group: Group, command: object) -> object:
        return corrections.submit_correction(group, cast("SubmitCorrection", command))

    return {SubmitFreeze: freeze, SubmitCorrection: correct}
