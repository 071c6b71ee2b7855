"""What a command cannot do anything about: told in one line, with the exit code by which a service manager knows whether to try again."""

import os
from typing import Final

from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from alerts.tables import StateAway
from configs.read import SettingsError
from configs.secret import SecretUnreadable
from server.state.damage import StateDamaged
from server.store import StoreDamaged, StoreUnavailable

WELL: Final = 0
FAILED: Final = 1
REFUSED: Final = 2

CODES: Final = f"""\
exit codes:
  {WELL}  done; nothing was found
  {FAILED}  something was found, or something outside fails that may come back by itself: a database that is away, locked or full,
     a port that is taken. The service starts again.
  {REFUSED}  what was typed, a setting, a secret, the rights of a file, or a file that is damaged or of a newer version stands in the
     way: somebody has to mend it. The service stays down (RestartPreventExitStatus=2).
"""

_DRIVERS: Final = {"psycopg": "'psycopg[binary]'", "psycopg2": "psycopg2-binary"}
_PERSON: Final = (
    SettingsError,
    SecretUnreadable,
    StateDamaged,
    StoreDamaged,
    PermissionError,
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
)
_WORLD: Final = (StateAway, StoreUnavailable, OSError)

# What is no fault of the program; everything else is, and shows where.
EXPECTED: Final = (*_PERSON, *_WORLD, DBAPIError, ArgumentError, NoSuchModuleError, ModuleNotFoundError)


def told(error: BaseException) -> tuple[str, int] | None:
    """Return the words for one of EXPECTED, and the exit code; None for a fault of the program after all."""
    if isinstance(error, ModuleNotFoundError):
        return _driver(error)
    if isinstance(error, DBAPIError):
        return f"the database of state: {_line(error.orig or error)}", FAILED
    if isinstance(error, (ArgumentError, NoSuchModuleError)):
        return f"'state' in [server] is no address of a database: {_line(error)}", REFUSED
    if isinstance(error, StateAway):
        return f"the database of state: {error}", FAILED
    code = REFUSED if isinstance(error, _PERSON) else FAILED
    return (_file(error) if isinstance(error, OSError) else str(error)), code


def _driver(error: ModuleNotFoundError) -> tuple[str, int] | None:
    package = _DRIVERS.get(error.name or "")
    if package is None:
        return None
    return f"the driver of the database in 'state' is missing: pip install {package}", REFUSED


def _file(error: OSError) -> str:
    if error.filename is None or error.strerror is None:
        return error.strerror or str(error)
    return f"{os.fsdecode(error.filename)}: {error.strerror}"


def _line(error: object) -> str:
    return " ".join(str(error).split())
