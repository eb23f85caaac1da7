from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis.strategies import integers, ip_addresses

from activities.errors import LocationDenied
from activities.tools.address_guard import embedded_in, is_own, is_public, resolve

#: Of both IANA registries and of the clouds: the first and the last address of each block that is not public.
SPECIAL_BLOCKS = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
    *("192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
    *("224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32", "192.0.0.192/32", "100.100.100.200/32"),
    *("::/127", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/32", "2001:2::/48", "2001:db8::/32"),
    *("2001:10::/28", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "3ffe::/16"),
    *("fd00:ec2::254/128", "fd20:ce::254/128", "::ffff:0:0/96", "::ffff:0:0:0/96", "4000::/3"),
]
#: How IPv4 addresses stand in IPv6 addresses, beside how many bits.
EMBEDDINGS = [
    ("::", 0),
    ("::ffff:0:0", 0),
    ("::ffff:0:0:0", 0),
    ("64:ff9b::", 0),
    ("2002::1", 80),
    ("2a00:1450::5efe:0:0", 0),
    ("2a00:1450::200:5efe:0:0", 0),
]


@pytest.mark.parametrize("block", SPECIAL_BLOCKS)
def test_what_stands_in_no_public_block_is_not_public(block: str) -> None:
    network = ip_network(block)

    assert [False, False] == [is_public(network[0]), is_public(network[-1])]


@pytest.mark.parametrize(
    "address",
    [
        *("1.1.1.1", "93.184.216.34", "100.63.255.255", "168.63.129.17", "192.0.1.1", "223.255.255.255"),
        *("2606:4700:4700::1111", "2a00:1450:4001::1", "64:ff9b::101:101", "2002:101:101::1", "2001:200::1"),
    ],
)
def test_what_stands_in_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(("prefix", "shift"), EMBEDDINGS)
@pytest.mark.parametrize("inside", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "168.63.129.16"])
def test_an_address_inside_another_is_found_and_counts(prefix: str, shift: int, inside: str) -> None:
    outer = IPv6Address(int(IPv6Address(prefix)) | int(IPv4Address(inside)) << shift)

    assert IPv4Address(inside) in embedded_in(outer)
    assert not is_public(outer)


@given(ip_addresses(v=4), integers(min_value=0, max_value=len(EMBEDDINGS) - 1))
def test_an_address_is_no_more_public_inside_another(address: object, form: int) -> None:
    prefix, shift = EMBEDDINGS[form]
    inner = IPv4Address(str(address))
    outer = IPv6Address(int(IPv6Address(prefix)) | int(inner) << shift)

    assert is_public(inner) or not is_public(outer)


def test_the_machines_own_addresses_are_known_without_sending() -> None:
    assert is_own(ip_address("127.0.0.1"))
    assert not is_own(ip_address("192.0.2.7"))
    assert not is_own(ip_address("1.1.1.1"))


async def test_a_host_that_is_listed_may_be_anywhere() -> None:
    for listed in ("localhost", "LOCALHOST:80"):
        assert "127.0.0.1" in await resolve("localhost", 80, tool="t", allowed_hosts=[listed], allowed_ports=[])
    hosts = ["localhost:81", "127.0.0.1"]
    with pytest.raises(LocationDenied, match="no address of the public internet"):
        await resolve("localhost", 80, tool="t", allowed_hosts=hosts, allowed_ports=[80])


async def test_a_port_that_is_not_listed_is_refused_before_anything_is_resolved() -> None:
    with pytest.raises(LocationDenied, match=r"not one of 80, 443.*HTTP_ALLOWED_PORTS"):
        await resolve("nowhere.invalid", 22, tool="t", allowed_hosts=["localhost"], allowed_ports=[443, 80])
