"""Where a request may go: to public addresses, checked once the name is resolved, and where the operator lets it.

A document's URL may name anything, and what answers inside a network or at 169.254.169.254 trusts whoever asks. The
address that was checked is the one that is connected to, so a name that resolves otherwise a moment later gains nothing
(OWASP, Server-Side Request Forgery Prevention Cheat Sheet).
"""

import asyncio
import socket
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from activities.errors import LocationDenied, ToolFailed

#: IPv4 inside IPv6 by RFC 6052: what a translator makes of it is what counts.
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether the address, and any IPv4 address inside it, is one of the public internet."""
    if not address.is_global or address.is_multicast:
        return False
    if isinstance(address, IPv4Address):
        return True
    teredo = address.teredo
    inside = [address.ipv4_mapped, address.sixtofour, *(teredo or ())]
    if address in _NAT64:
        inside.append(IPv4Address(int(address) & 0xFFFF_FFFF))
    return all(is_public(embedded) for embedded in inside if embedded is not None)


async def resolve(host: str, port: int, *, tool: str, allowed_hosts: Collection[str]) -> list[str]:
    """The addresses of a host, all of which may be connected to.

    Raises LocationDenied when one of them is not public and `allowed_hosts` has neither `host` nor `host:port`, and
    ToolFailed when the name does not resolve.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ToolFailed(tool=tool, reason=f"{host!r} does not resolve ({type(error).__name__})") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if {host.lower(), f"{host.lower()}:{port}"} & {allowed.lower() for allowed in allowed_hosts}:
        return addresses
    # A zone (`fe80::1%eth0`) stands for a link, which is never public.
    if not addresses or any("%" in text or not is_public(ip_address(text)) for text in addresses):
        raise LocationDenied(
            location=host,
            reason="it is no address of the public internet; the operator can list it in HTTP_ALLOWED_HOSTS",
        )
    return addresses
