"""Where a request may go: to public addresses, checked once the name is resolved, and where the operator lets it.

A document's URL may name anything, and what answers inside a network or at 169.254.169.254 trusts whoever asks. The
address that was checked is the one that is connected to, so a name that resolves otherwise a moment later gains nothing
(OWASP, Server-Side Request Forgery Prevention Cheat Sheet).
"""

import asyncio
import socket
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address

from activities.errors import LocationDenied, ToolFailed
from activities.tools.special_addresses import (
    CLOUD_IPV4,
    EMBEDDING_PREFIXES,
    GLOBAL_UNICAST_IPV6,
    ISATAP_MARKS,
    SPECIAL_IPV4,
    SPECIAL_IPV6,
    TRANSLATION_PREFIX,
)

#: Of documentation (RFC 5737), so no machine has it; one that can bind it could bind any.
_NOBODYS = "192.0.2.1"


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether the address, and any IPv4 address inside it, is one of the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in (*SPECIAL_IPV4, *CLOUD_IPV4))
    if not all(is_public(inside) for inside in embedded_in(address)):
        return False
    if address in TRANSLATION_PREFIX:
        return True
    return address in GLOBAL_UNICAST_IPV6 and not any(address in network for network in SPECIAL_IPV6)


def embedded_in(address: IPv6Address) -> list[IPv4Address]:
    """Every IPv4 address that stands in an IPv6 address and that a translator, tunnel or stack may take it for."""
    bits = int(address)
    found = [IPv4Address(bits >> shift & 0xFFFF_FFFF) for prefix, shift in EMBEDDING_PREFIXES if address in prefix]
    if bits >> 32 & 0xFFFF_FFFF in ISATAP_MARKS:
        found.append(IPv4Address(bits & 0xFFFF_FFFF))
    return found


def is_own(address: IPv4Address | IPv6Address) -> bool:
    """Whether this machine has the address: it can then listen there. Nothing is sent."""
    return _can_bind(address) and not _can_bind(ip_address(_NOBODYS))


async def resolve(
    host: str, port: int, *, tool: str, allowed_hosts: Collection[str], allowed_ports: Collection[int]
) -> list[str]:
    """The addresses of a host, all of which may be connected to.

    Raises LocationDenied when `allowed_hosts` has neither `host` nor `host:port`, and the port is not allowed or one of
    the addresses is not public or is this machine's. Raises ToolFailed when the name does not resolve.
    """
    is_listed = bool({host.lower(), f"{host.lower()}:{port}"} & {allowed.lower() for allowed in allowed_hosts})
    if not is_listed and port not in allowed_ports:
        ports = ", ".join(str(allowed) for allowed in sorted(allowed_ports))
        reason = f"its port is not one of {ports}; the operator can list it in HTTP_ALLOWED_PORTS or HTTP_ALLOWED_HOSTS"
        raise LocationDenied(location=f"{host}:{port}", reason=reason)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ToolFailed(tool=tool, reason=f"{host!r} does not resolve ({type(error).__name__})") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not is_listed and not (addresses and all(_may_be_asked(text) for text in addresses)):
        raise LocationDenied(
            location=host,
            reason="it is no address of the public internet; the operator can list it in HTTP_ALLOWED_HOSTS",
        )
    return addresses


def _may_be_asked(text: str) -> bool:
    # A zone (`fe80::1%eth0`) stands for a link, which is never public.
    if "%" in text:
        return False
    address = ip_address(text)
    return is_public(address) and not is_own(address)


def _can_bind(address: IPv4Address | IPv6Address) -> bool:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
