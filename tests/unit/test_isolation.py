"""That a test cannot reach what is not on this machine, nor be reached from there, nor see its AWS set-up."""

from __future__ import annotations

import os
import socket

import pytest

from tests.conftest import OutsideWorldError


@pytest.mark.parametrize(
    ("family", "address"),
    [
        pytest.param(socket.AF_INET, ("192.0.2.1", 80), id="IPv4"),
        pytest.param(socket.AF_INET6, ("2001:db8::1", 80), id="IPv6"),
    ],
)
def test_another_host_cannot_be_reached(family: socket.AddressFamily, address: tuple[str, int]) -> None:
    with socket.socket(family) as client, pytest.raises(OutsideWorldError, match="tests stay on this machine"):
        client.connect(address)


def test_another_host_has_no_address() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("oncall.example.com", 443)


def test_a_server_for_everybody_cannot_be_started() -> None:
    with socket.socket() as server, pytest.raises(OutsideWorldError):
        server.bind(("0.0.0.0", 0))  # noqa: S104  # the very thing that must not work


def test_the_loopback_works() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, address = server.accept()
        accepted.close()

        assert address == client.getsockname()


def test_no_aws_account_is_configured() -> None:
    assert {name for name in os.environ if name.startswith("AWS_")} == {
        "AWS_EC2_METADATA_DISABLED",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CONFIG_FILE",
    }
