"""Ask a name server a question and compare its answer."""

import re
from typing import Final

import msgspec

from collectors.checks import Target
from collectors.checks.engines.expect import Severity, compiled
from collectors.checks.engines.failure import Failure
from collectors.checks.engines.look import Look, observe
from collectors.checks.engines.nameservers import Answer, Kind, Transport, ask, canonical, checked_name, reverse_name
from collectors.checks.engines.resolver import Ip, Resolver, checked_host, checked_port, literal, routed
from collectors.result import Reason, Result
from configs.units import Duration

_RCODES: Final = frozenset({"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "NOTAUTH"})
_MOST_TOLD: Final = 5


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a dns check.

    ``name`` and ``record`` (A, AAAA, CNAME, MX, NS, SOA, TXT, CAA, PTR) are asked of ``server`` (a host or address; default: this
    machine's first name server) at ``port`` over ``transport`` "udp" or "tcp"; for PTR the name may be an IP address. ``ip`` picks the
    family of the server's address.

    Expected: ``rcode``, one or a list; ``any_of`` (at least one of these records), ``all_of``, ``none_of``. A record is written
    as in a zone file, without the final dot ("10 mail.example.id"; TXT without quotes), or as a regular expression between
    slashes ("/^v=spf1 /"). Without a record an answer of NOERROR is wrong, unless ``empty`` is true. ``severity`` is how grave a
    wrong record is. ``slow``: a good answer that takes longer is degraded.
    """

    name: str
    record: Kind = "A"
    server: str = ""
    port: int = 53
    transport: Transport = "udp"
    ip: Ip = "any"
    rcode: str | tuple[str, ...] = "NOERROR"
    any_of: tuple[str, ...] = ()
    all_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()
    empty: bool = False
    severity: Severity = "down"
    slow: Duration | None = None


class Dns:
    """Asks one question per run."""

    def __init__(self, target: Target, options: Options) -> None:
        if options.server:
            checked_host("server", options.server, options.ip)
        checked_port(options.port)
        self._rcodes = (options.rcode,) if isinstance(options.rcode, str) else options.rcode
        for rcode in self._rcodes or ("",):
            if rcode not in _RCODES:
                raise ValueError(f"'rcode': expected of {', '.join(sorted(_RCODES))}, got {rcode!r}")
        self._target = target
        self._options = options
        self._name = _question(options)
        self._any = [_wanted("any_of", text, options.record) for text in options.any_of]
        self._all = [_wanted("all_of", text, options.record) for text in options.all_of]
        self._none = [_wanted("none_of", text, options.record) for text in options.none_of]
        self._resolver = Resolver()

    async def run(self, at: int) -> Result:
        """Ask once; see ``Check.run``. Phases dns (the server's own address) and first_byte (question to answer).

        Facts: server, rcode, records (how many), answer (the records), ttl, authoritative.
        """
        return await observe(self._target, at, self._work, slow=self._options.slow)

    async def _work(self, look: Look) -> None:
        options = self._options
        if options.server:
            server = routed(await self._resolver.addresses(options.server, options.ip, look.remaining()))
        else:
            server = (await self._resolver.nameservers()).addresses[0]
        look.facts["server"] = server
        look.enter("first_byte")
        try:
            answer = await ask(server, options.port, self._name, options.record, options.transport)
        except TimeoutError as error:
            raise Failure(Reason.RESOLVER_FAILED, f"no answer from {server}") from error
        self._judge(look, answer)

    def _judge(self, look: Look, answer: Answer) -> None:
        options = self._options
        told = ", ".join(answer.records[:_MOST_TOLD]) or "no record"
        look.summary = f"{self._name} {options.record}: {told}"
        look.facts |= {
            "rcode": answer.rcode,
            "records": len(answer.records),
            "answer": told,
            "authoritative": answer.authoritative,
        }
        if answer.ttl is not None:
            look.facts["ttl"] = answer.ttl
        if answer.rcode not in self._rcodes:
            expected = " or ".join(self._rcodes)
            raise Failure(_why(answer.rcode), f"{self._name} {options.record}: {answer.rcode}, expected {expected}")
        if answer.rcode == "NOERROR" and not answer.records and not options.empty:
            raise Failure(Reason.DNS_ANSWER, f"{self._name} {options.record}: NOERROR without a record")
        for wrong in self._wrong(answer.records):
            look.find(options.severity, Reason.DNS_ANSWER, f"{look.summary}; {wrong}")

    def _wrong(self, records: tuple[str, ...]) -> list[str]:
        wrong = []
        if self._any and not any(_matches(wanted, records) for wanted in self._any):
            wrong.append(f"none of {', '.join(self._options.any_of)}")
        pairs = zip(self._all, self._options.all_of, strict=True)
        if missing := [text for wanted, text in pairs if not _matches(wanted, records)]:
            wrong.append(f"lacks {', '.join(missing)}")
        pairs = zip(self._none, self._options.none_of, strict=True)
        if present := [text for wanted, text in pairs if _matches(wanted, records)]:
            wrong.append(f"has {', '.join(present)}")
        return wrong


def _question(options: Options) -> str:
    if options.record == "PTR" and (address := literal(options.name)):
        return reverse_name(address)
    try:
        return checked_name(options.name)
    except ValueError as error:
        raise ValueError(f"'name': {error}") from error


def _wanted(option: str, text: str, record: Kind) -> re.Pattern[str]:
    """Compile one expected record: an expression between slashes, or the record itself."""
    if len(text) > 1 and text.startswith("/") and text.endswith("/"):
        return compiled(option, text[1:-1])
    if not text:
        raise ValueError(f"{option!r}: an empty text is no record")
    exact = text if record == "TXT" else canonical(text)
    return re.compile(rf"\A{re.escape(exact)}\Z")


def _matches(wanted: re.Pattern[str], records: tuple[str, ...]) -> bool:
    return any(wanted.search(record) for record in records)


def _why(rcode: str) -> Reason:
    """Return what an unexpected rcode says; NOERROR is unexpected where the name should be gone."""
    if rcode == "NXDOMAIN":
        return Reason.NAME_NOT_FOUND
    return Reason.DNS_ANSWER if rcode == "NOERROR" else Reason.RESOLVER_FAILED
