"""Ports of listeners that go and come back."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tanqiao.rpc.ports import LOOPBACK, free_ports, is_free

GIVEN_OUT = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_free_ports_are_different_and_a_listener_can_take_each() -> None:
    ports = free_ports(9)
    assert len(set(ports)) == 9
    for port in ports:
        socket.create_server((LOOPBACK, port)).close()


def test_a_port_on_which_somebody_listens_is_not_free() -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        assert not is_free(taken.getsockname()[1])


@pytest.mark.skipif(not GIVEN_OUT.exists(), reason="this system does not say which ports it gives away")
def test_no_port_is_one_that_the_system_gives_to_whoever_connects() -> None:
    first = int(GIVEN_OUT.read_text(encoding="ascii").split()[0])
    assert all(port < first for port in free_ports(50))
