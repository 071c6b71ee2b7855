"""The layers of the embedded store: one for each type, and one more for what comes when its raw values are gone already.

Raw values of a type go after a time and leave roll-ups. A point that comes later than that lies in the late layer of its type, whose
raw values stay; an answer takes both together, each value once. See decision 017.
"""

from typing import Final

from server.store.kinds import KINDS
from server.store.sql import Sql

_LATE: Final = "late_"
KIND_OF: Final = {f"{prefix}{kind}": kind for prefix in ("", _LATE) for kind in KINDS.values()}
TABLES: Final[dict[str, Sql]] = {layer: Sql(f"{layer}_points") for layer in KIND_OF}


def late(kind: str) -> str:
    """Name the late layer of a type."""
    return f"{_LATE}{kind}"


def is_late(layer: str) -> bool:
    """Return whether raw values of a layer stay."""
    return layer.startswith(_LATE)
