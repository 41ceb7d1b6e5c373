"""The table of events against the state machines of every shipped pack."""

from __future__ import annotations

import pytest

from tanqiao_region.application.dossier_acts import KINDS_OF_DOSSIER
from tanqiao_region.application.dossiers import PUBLIC_STATES
from tanqiao_region.domain.rules import facts
from tanqiao_region.rulepack_cases import CASE_NETWORK
from tanqiao_region.rulepack_loader import LoadedPack, RulePackLibrary

PACKS = RulePackLibrary.discover(network_id=CASE_NETWORK).packs


@pytest.mark.parametrize("loaded", PACKS, ids=lambda loaded: loaded.pack.identity.pack_id)
def test_every_event_of_a_machine_means_something(loaded: LoadedPack) -> None:
    machines = loaded.pack.data.lifecycles
    for kind in KINDS_OF_DOSSIER.values():
        if kind.machine in machines:
            assert machines[kind.machine].events <= set(kind.events), kind.machine


def test_an_act_that_the_table_names_is_an_act_of_the_engine() -> None:
    named = {
        act for kind in KINDS_OF_DOSSIER.values() for event in kind.events.values() for act in event.duty
    }
    named |= {event.act for kind in KINDS_OF_DOSSIER.values() for event in kind.events.values() if event.act}
    assert named <= set(facts.ACTS_BY_NAME)


def test_what_is_public_is_a_state_of_some_machine() -> None:
    machines = [machine for loaded in PACKS for machine in loaded.pack.data.lifecycles.values()]
    states = {state for machine in machines for state in machine.states}
    assert set(PUBLIC_STATES) <= states
