"""Where settings stand that no option names: the same places for every command, every unit and the agent."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

VARIABLE: Final = "PANTAU_SETTINGS"
SYSTEM: Final = Path("/etc/pantau")


def settings_file(
    given: Path | str | None,
    name: str,
    *,
    environment: Mapping[str, str] = os.environ,
    system: Path = SYSTEM,
    make: bool = False,
) -> Path:
    """Return the settings file ``name``: the given one, that of ``$PANTAU_SETTINGS``, that in ``system``, else one in this folder.

    ``$PANTAU_SETTINGS`` is a file, or a folder that holds ``name``. Whether the file can be read is for its reader to say.
    One that is to be made is made in ``system``, where a service reads it, whatever lies in the folder of who types.
    """
    if given:
        return Path(given)
    if chosen := environment.get(VARIABLE):
        return Path(chosen, name) if Path(chosen).is_dir() else Path(chosen)
    installed = system / name
    return installed if make or _exists(installed) else Path(name)


def elsewhere(file: Path | str, system: Path = SYSTEM) -> str:
    """Return where else ``settings_file`` looked for a file that is not there, and how to name one; "" for a file that was named."""
    name = Path(file)
    if name != Path(name.name) or _exists(system / name):
        return ""
    return f", nor is there {system / name}; name the file: --settings PATH or {VARIABLE}=PATH"


def _exists(file: Path) -> bool:
    """Return whether a file is there; one in a folder that is closed to us counts, for its reader tells that better than its absence."""
    try:
        file.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return True
