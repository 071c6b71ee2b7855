"""Keeps modules out of memory that this process has no use for.

Measured (resident memory): asyncio and http.client import ssl though the agent may never speak TLS, 4.5 MB; msgspec imports
typing_extensions where it happens to be installed and the standard library has the same, 4 MB. The price: asyncio's own
streams cannot do TLS in this process; ``agent.post`` still can. PANTAU_AGENT_FULL=1 turns this off, for a collector that needs it.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

_HEAVY: Final = ("ssl", "typing_extensions")


@contextmanager
def without_heavy_modules(environ: Mapping[str, str]) -> Iterator[None]:
    """Make ``import ssl`` and the like fail while the block imports what can do without them."""
    hidden = [] if environ.get("PANTAU_AGENT_FULL") else [name for name in _HEAVY if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is how Python is told that there is no such module
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
