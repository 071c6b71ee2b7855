"""The machine's fingerprint, by which the centre tells a clone from the original.

Words of twelve hex digits: a hash of the machine-id, then one of each network card, sorted. A cloned virtual machine keeps the
first and gets other cards. Neither the machine-id nor an address can be had back from it.
"""

import contextlib
from pathlib import Path
from typing import Final

try:  # hashlib would load OpenSSL, 3 MB that the agent has no other use for
    from _blake2 import blake2s
except ImportError:
    from hashlib import blake2s

from collectors.host import Roots

_CARDS: Final = 16
_PERMANENT: Final = "0"  # addr_assign_type: the address is the card's own


def fingerprint(roots: Roots = Roots()) -> str:  # noqa: B008 - frozen
    """Read the fingerprint of this machine; what cannot be read is left out."""
    name = _read(Path(roots.etc, "machine-id")) or _read(Path(roots.var, "lib/dbus/machine-id"))
    return " ".join([_hash(name), *sorted({_hash(card) for card in _cards(Path(roots.sys, "class/net"))})[:_CARDS]])


def _cards(folder: Path) -> list[str]:
    """Return the addresses of network cards: interfaces with a device behind them, no bridges and the like."""
    with contextlib.suppress(OSError):
        cards = [card for card in folder.iterdir() if (card / "device").exists()]
        own = [_read(card / "address") for card in cards if _read(card / "addr_assign_type") == _PERMANENT]
        return [address for address in own if address.strip("0:")]
    return []


def _read(file: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return file.read_text(encoding="ascii").strip()
    return ""


def _hash(text: str) -> str:
    return blake2s(text.encode(), digest_size=6, person=b"pantau").hexdigest()
