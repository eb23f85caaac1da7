"""Addresses that are not the public internet's, as data: no Python and no system has a say in it.

From the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890) and the multicast registries, as of 2025-11-01
and those at which clouds answer to machines of theirs.
"""

from ipaddress import IPv4Network, IPv6Network

#: Of the IPv4 registry, without those that are globally reachable (192.31.196.0/24, 192.52.193.0/24, 192.175.48.0/24).
SPECIAL_IPV4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network, RFC 791
        "10.0.0.0/8",  # private use, RFC 1918
        "100.64.0.0/10",  # shared address space, RFC 6598
        "127.0.0.0/8",  # loopback, RFC 1122
        "169.254.0.0/16",  # link local, RFC 3927
        "172.16.0.0/12",  # private use, RFC 1918
        "192.0.0.0/24",  # IETF protocol assignments, RFC 6890
        "192.0.2.0/24",  # documentation, RFC 5737
        "192.88.99.0/24",  # 6to4 relay anycast, RFC 7526
        "192.168.0.0/16",  # private use, RFC 1918
        "198.18.0.0/15",  # benchmarking, RFC 2544
        "198.51.100.0/24",  # documentation, RFC 5737
        "203.0.113.0/24",  # documentation, RFC 5737
        "224.0.0.0/4",  # multicast, RFC 5771
        "240.0.0.0/4",  # reserved, and limited broadcast, RFC 1112
    )
)
#: Of clouds, among public addresses: Azure's platform (DHCP, DNS, health, keys) and IBM Cloud's services.
CLOUD_IPV4 = tuple(IPv4Network(text) for text in ("168.63.129.16/32", "161.26.0.0/16", "166.8.0.0/14"))

#: What IANA has allocated for global unicast; all other IPv6 addresses are special, or nobody's.
GLOBAL_UNICAST_IPV6 = IPv6Network("2000::/3")
#: Of the IPv6 registry, within global unicast.
SPECIAL_IPV6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # IETF protocol assignments, RFC 2928: Teredo, benchmarking, ORCHID and their like
        "2001:db8::/32",  # documentation, RFC 3849
        "3ffe::/16",  # of the 6bone, given back, RFC 3701
        "3fff::/20",  # documentation, RFC 9637
    )
)

#: IPv4 inside IPv6, by prefix → how many bits stand behind the IPv4 address.
EMBEDDING_PREFIXES = (
    (IPv6Network("::/96"), 0),  # IPv4-compatible, RFC 4291, section 2.5.5.1
    (IPv6Network("::ffff:0:0/96"), 0),  # IPv4-mapped, RFC 4291, section 2.5.5.2
    (IPv6Network("::ffff:0:0:0/96"), 0),  # IPv4-translated, RFC 2765
    (IPv6Network("64:ff9b::/96"), 0),  # IPv4-IPv6 translation, RFC 6052
    (IPv6Network("2002::/16"), 80),  # 6to4, RFC 3056
)
#: The one that leads to the IPv4 internet; it is globally reachable by the registry.
TRANSLATION_PREFIX = IPv6Network("64:ff9b::/96")
#: The upper half of an interface identifier of ISATAP, whose lower half is an IPv4 address (RFC 5214, section 6.1).
ISATAP_MARKS = frozenset({0x0000_5EFE, 0x0200_5EFE})
