"""The one door to dnspython: one question to one server, and the system's own nameservers."""

import asyncio
import socket
from pathlib import Path
from typing import Final, Literal

import dns.asyncbackend
import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.inet
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.resolver
import dns.reversename
import msgspec
from dns.rdtypes.ANY.TXT import TXT

from collectors.checks.engines.failure import Failure
from collectors.result import Reason, Status

Kind = Literal["A", "AAAA", "CNAME", "MX", "NS", "SOA", "TXT", "CAA", "PTR"]
Transport = Literal["udp", "tcp"]

_RESEND: Final = 2.0
_SHARE_OF_LOOKUP: Final = 0.7
_SHARE_OF_SECOND_OPINION: Final = 0.2
_PORT: Final = 53


class NoSuchName(Exception):
    """DNS says that there is no such name."""


class Answer(msgspec.Struct, frozen=True):
    """What a server answered: ``records`` are the values of the asked type in canonical text, without the final dot of names.

    ``rcode`` is the field's word (``NOERROR``, ``NXDOMAIN``); ``ttl`` is the least of the records' (s), None without records.
    """

    rcode: str
    records: tuple[str, ...]
    ttl: int | None
    authoritative: bool


def checked_name(text: str) -> str:
    """Return ``text`` when it can be a name in DNS; ValueError otherwise."""
    try:
        dns.name.from_text(text)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise ValueError(f"{text!r} cannot be a name in DNS: {error}") from error
    return text


def reverse_name(address: str) -> str:
    """Return the name under which PTR records of an IP address stand."""
    return dns.reversename.from_address(address).to_text(omit_final_dot=True)


async def ask(server: str, port: int, name: str, kind: Kind, transport: Transport = "udp") -> Answer:
    """Put one question to one server, with no end but the caller's deadline.

    Over udp it is sent again every 2 s, since one lost packet is no outage, and asked over tcp when the answer was cut.
    Raises Failure with PROTOCOL for a reply that is not DNS, OSError and EOFError as the network gives them.
    """
    query = dns.message.make_query(name, kind)
    try:
        reply = await (_over_udp(query, server, port) if transport == "udp" else _over_tcp(query, server, port))
    except dns.query.BadResponse as error:
        raise Failure(Reason.PROTOCOL, "the reply does not belong to the question") from error
    except dns.exception.DNSException as error:
        raise Failure(Reason.PROTOCOL, f"the reply is not DNS: {error}") from error
    return _read(reply, kind)


async def _over_udp(query: dns.message.Message, server: str, port: int) -> dns.message.Message:
    backend = dns.asyncbackend.get_default_backend()
    family = dns.inet.af_for_address(server)
    while True:
        # Connected, so that a closed port is told by the kernel (ICMP) instead of a silence until the deadline.
        socket_ = await backend.make_socket(family, socket.SOCK_DGRAM, 0, None, (server, port))  # type: ignore[no-untyped-call]
        async with socket_:
            try:
                return await dns.asyncquery.udp(
                    query, server, _RESEND, port, sock=socket_, raise_on_truncation=True, ignore_unexpected=True
                )
            except dns.exception.Timeout:
                continue
            except dns.message.Truncated:
                return await _over_tcp(query, server, port)


async def _over_tcp(query: dns.message.Message, server: str, port: int) -> dns.message.Message:
    return await dns.asyncquery.tcp(query, server, None, port)


def _read(reply: dns.message.Message, kind: Kind) -> Answer:
    wanted = dns.rdatatype.from_text(kind)
    sets = [rrset for rrset in reply.answer if rrset.rdtype == wanted]
    return Answer(
        rcode=dns.rcode.to_text(reply.rcode()),
        records=tuple(sorted(_text(record) for rrset in sets for record in rrset)),
        ttl=min((rrset.ttl for rrset in sets), default=None),
        authoritative=bool(reply.flags & dns.flags.AA),
    )


def _text(record: dns.rdata.Rdata) -> str:
    if isinstance(record, TXT):
        return b"".join(record.strings).decode("utf-8", "replace")
    return canonical(record.to_text())


def canonical(text: str) -> str:
    """Write a record's text as it is compared: names in lower case and without the final dot."""
    return " ".join(word.rstrip(".").lower() for word in text.split())


class Nameservers:
    """The nameservers of this machine, as ``resolv.conf`` lists them; building reads that file."""

    def __init__(self, resolv_conf: Path, port: int = _PORT) -> None:
        try:
            self._resolver = dns.asyncresolver.Resolver(str(resolv_conf))
        except (dns.resolver.NoResolverConfiguration, OSError):
            # What the C library does as well when nothing is set up.
            self._resolver = dns.asyncresolver.Resolver(configure=False)
            self._resolver.nameservers = ["127.0.0.1"]
        self._resolver.port = port

    @property
    def addresses(self) -> list[str]:
        """Where they are asked, in the order of the file."""
        return [str(server) for server in self._resolver.nameservers]

    async def resolve(self, name: str, kind: Literal["A", "AAAA"], within: float) -> list[str]:
        """Return the addresses of a name, empty when it has none of this kind, within so many seconds.

        A name of one label is tried with the search domains too. Raises NoSuchName, and Failure with RESOLVER_FAILED:
        UNKNOWN when the nameservers cannot be reached or refuse to serve us, DOWN when only this name fails.
        """
        try:
            # dnspython's own lifetime may be overrun by a pause between two attempts.
            async with asyncio.timeout(within * _SHARE_OF_LOOKUP):
                answer = await self._resolver.resolve(
                    name, kind, lifetime=within, search="." not in name, raise_on_no_answer=False
                )
        except dns.resolver.NXDOMAIN as error:
            raise NoSuchName from error
        except dns.resolver.NoNameservers as error:
            raise _refusal(name, error) from error
        except (dns.exception.Timeout, TimeoutError) as error:
            alive = await self._alive(within * _SHARE_OF_SECOND_OPINION)
            detail = f"nameservers {', '.join(self.addresses)} did not answer for {name} {kind}"
            if alive:
                raise Failure(Reason.RESOLVER_FAILED, f"{detail}, though they answer others") from error
            raise Failure(Reason.RESOLVER_FAILED, f"{detail}, nor anything else", Status.UNKNOWN) from error
        return [record.address for record in answer] if answer.rrset else []

    async def _alive(self, within: float) -> bool:
        """Return whether any nameserver answers a question that needs no other server: any reply will do."""

        async def replies(server: str) -> bool:
            try:
                async with asyncio.timeout(within):
                    await ask(server, self._resolver.port, ".", "NS")
            except (OSError, EOFError):
                return False
            except Failure:
                return True
            return True

        return any(await asyncio.gather(*(replies(server) for server in self.addresses)))


def _refusal(name: str, error: dns.resolver.NoNameservers) -> Failure:
    """Distinguish a zone that fails (SERVFAIL) from nameservers that do not serve this machine at all."""
    tries = error.kwargs.get("errors", ())
    said = ", ".join(f"{server}: {what}" for server, _, _, what, _ in tries) or str(error)
    replies = [reply for *_, reply in tries if reply is not None]
    served = any(reply.rcode() != dns.rcode.REFUSED for reply in replies)
    status = Status.DOWN if served else Status.UNKNOWN
    return Failure(Reason.RESOLVER_FAILED, f"no nameserver answered for {name}: {said}", status)
