"""Look at the certificates and the TLS handshake of a port."""

import asyncio
import ssl
from typing import Final

import msgspec

from collectors.checks import Target
from collectors.checks.engines import trust
from collectors.checks.engines.certificates import Chains, chains, earliest
from collectors.checks.engines.dial import Dialer, drop
from collectors.checks.engines.failure import Failure, from_tls_error
from collectors.checks.engines.look import Look, observe
from collectors.checks.engines.resolver import Ip, checked_host, checked_port
from collectors.result import Reason, Result
from configs.units import Duration

_SHARE_OF_SECOND_LOOK: Final = 0.9
_CHAIN_WORDS: Final = {18: "self-signed", 19: "unknown root", 20: "incomplete", 21: "incomplete", 2: "incomplete"}


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a tls check.

    ``host`` and ``port`` are where TLS is spoken; ``server_name`` is the name that is asked for and must be in the certificate
    (default: ``host``); ``ip`` is "any", "4" or "6". Certificates with fewer than ``warn_days`` days left are told (the service
    stays up), expired ones are DOWN. ``ca_file`` (PEM) is believed instead of the system's authorities; ``verify`` = false looks
    at the dates only. ``slow``: a good handshake that takes longer is degraded.
    """

    host: str
    port: int = 443
    server_name: str = ""
    ip: Ip = "any"
    warn_days: int = 21
    ca_file: str = ""
    verify: bool = True
    slow: Duration | None = None


class Tls:
    """Shakes hands once per run; when that fails for the certificate's sake, once more to tell what was sent."""

    def __init__(self, target: Target, options: Options) -> None:
        checked_host("host", options.host, options.ip)
        checked_port(options.port)
        if options.server_name:
            checked_host("server_name", options.server_name, "any")
        self._target = target
        self._options = options
        self._context = trust.context(options.ca_file, verify=options.verify)
        self._believing = trust.context("", verify=False)
        self._dialer = Dialer(options.ip)

    async def run(self, at: int) -> Result:
        """Shake hands once; see ``Check.run``. Phases dns, connect, tls.

        Facts: address, tls_version, cipher, subject, issuer, days_left (of the certificates that decide: the verified chain),
        sent_days_left (of all that were sent), leaf_days_left, sent (their number), and chain: "verified", "unverified",
        "self-signed", "unknown root", "incomplete" or "refused".
        """
        return await observe(self._target, at, self._work, slow=self._options.slow)

    async def _work(self, look: Look) -> None:
        try:
            chain = await self._shake(look, self._context)
        except ssl.SSLCertVerificationError as error:
            raise await self._explained(look, error) from error
        look.facts["chain"] = "verified" if self._options.verify else "unverified"
        first = earliest(chain.deciding)
        days = first.days_left(look.at)
        look.summary = f"{look.facts['tls_version']}, {days} days left"
        if first.not_after * 1000 <= look.at:
            raise Failure(Reason.TLS_EXPIRED, f"certificate of {first.subject} expired {-days} days ago")
        if days < self._options.warn_days:
            look.find("warn", Reason.TLS_EXPIRING, f"certificate of {first.subject} expires in {days} days")

    async def _shake(self, look: Look, context: ssl.SSLContext) -> Chains:
        options = self._options
        transport, _ = await self._dialer.open(
            look, asyncio.Protocol, options.host, options.port, context, options.server_name
        )
        try:
            connection: ssl.SSLObject = transport.get_extra_info("ssl_object")
            chain = chains(connection)
        finally:
            drop(transport)
        _note(look, connection, chain)
        return chain

    async def _explained(self, look: Look, error: ssl.SSLCertVerificationError) -> Failure:
        """Look at the refused certificates, so that the sysadmin reads which one it is and not only that it was refused."""
        failure = from_tls_error(error)
        look.enter("dns")
        spent = dict(look.phases)
        try:
            async with asyncio.timeout(look.remaining() * _SHARE_OF_SECOND_LOOK):
                chain = await self._shake(look, self._believing)
        except (OSError, Failure):
            return failure
        finally:
            look.phases = spent
        look.facts["chain"] = _CHAIN_WORDS.get(error.verify_code, "refused")
        last = chain.sent[-1]
        hint = ""
        if look.facts["chain"] == "incomplete":
            hint = f"; nothing trusted stands above {last.subject}: its issuer {last.issuer} was not sent, or is an authority of your own"
        return Failure(failure.reason, f"{failure.detail}: {chain.sent[0].subject}{hint}")


def _note(look: Look, connection: ssl.SSLObject, chain: Chains) -> None:
    cipher = connection.cipher()
    leaf = chain.sent[0]
    look.facts |= {
        "tls_version": connection.version() or "",
        "cipher": cipher[0] if cipher else "",
        "subject": leaf.subject,
        "issuer": leaf.issuer,
        "days_left": earliest(chain.deciding).days_left(look.at),
        "sent_days_left": earliest(chain.sent).days_left(look.at),
        "leaf_days_left": leaf.days_left(look.at),
        "sent": len(chain.sent),
    }
