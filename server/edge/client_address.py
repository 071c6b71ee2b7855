"""Where a request comes from, as far as it can be believed: the one answer for pages, ingest, enrolment and limits."""

import ipaddress
from collections.abc import Collection
from typing import Final

from aiohttp import hdrs, web

_NETWORK_BITS: Final = 64


def client_address(request: web.BaseRequest, trusted_proxies: Collection[str] = ()) -> str:
    """Return the client's address: what a trusted proxy wrote into ``X-Forwarded-For``, else the peer of the connection."""
    # a proxy may add a line of its own below the visitor's, so all lines count, the last one most
    forwarded = ",".join(request.headers.getall(hdrs.X_FORWARDED_FOR, ()))
    way = [*(step.strip() for step in forwarded.split(",") if forwarded), request.remote or ""]
    while len(way) > 1 and way[-1] in trusted_proxies and _is_address(way[-2]):
        way.pop()
    return way[-1]


def client_network(address: str) -> str:
    """Return what counts as one client: of IPv6 its /64, IPv4 also where it is written as IPv6; else the text itself."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _NETWORK_BITS), strict=False))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
