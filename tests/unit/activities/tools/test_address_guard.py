from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis.strategies import ip_addresses

from activities.errors import LocationDenied
from activities.tools.address_guard import is_public, resolve


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
        "2002:a9fe:a9fe::1",
    ],
)
def test_what_stands_inside_a_network_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "64:ff9b::101:101"])
def test_what_stands_in_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@given(ip_addresses(v=4))
def test_an_address_is_no_more_public_inside_another(address: object) -> None:
    assert is_public(ip_address(str(address))) or not is_public(ip_address(f"::ffff:{address}"))
    assert is_public(ip_address(str(address))) or not is_public(
        ip_address(int(ip_address("64:ff9b::")) + int(ip_address(str(address))))
    )


async def test_a_host_that_is_listed_may_be_anywhere() -> None:
    for listed in ("localhost", "LOCALHOST:80"):
        assert "127.0.0.1" in await resolve("localhost", 80, tool="t", allowed_hosts=[listed])
    with pytest.raises(LocationDenied):
        await resolve("localhost", 80, tool="t", allowed_hosts=["localhost:81", "127.0.0.1"])
