"""Settings of the backups that somebody or something makes: the centre says when they stop."""

from pathlib import Path
from typing import NamedTuple

import msgspec

from configs.units import Duration


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[backup]``.

    ``expect`` is how old the newest backup by ``pantau backup`` may be, e.g. ``26h`` for one every night; an older one, or none, opens
    an incident of ``pantau/backup``. With 0 nobody looks.
    """

    expect: Duration = Duration(0)


class ExpectedBackups(NamedTuple):
    """The data folder that is to be backed up, and how old its newest backup may be, in seconds."""

    data: Path
    age: float
