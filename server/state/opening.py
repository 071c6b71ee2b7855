"""The database of state as the centre opens it: held alone, sound, and of the newest shape."""

from collections.abc import Callable
from pathlib import Path

from server.state.damage import require_filled, require_sound
from server.state.database import Database
from server.state.migrate import upgrade
from server.state.place import Place


def open_state(place: Place, data: Path, lost: Callable[[str], None]) -> Database:
    """Return the database, ready; ``lost`` as for ``Database``. To be called off the event loop.

    Occupied when another centre runs on it, StateAway, StateDamaged, SchemaNewer, or SettingsError.
    """
    require_filled(place.file, data)
    database = Database(place, alone=True, lost=lost)
    try:
        with database.writing.connect():
            require_sound(database.engine)
            upgrade(database.engine)
    except BaseException:
        database.close()
        raise
    return database
