"""Series that have no value any more are forgotten, so that names which come and go do not use up the limit of series."""

from typing import Final

import numpy as np

from server.store.embedded.levels import HOUR, plan
from server.store.embedded.reading import place, within
from server.store.embedded.series import Series
from server.store.embedded.tables import Tables
from server.store.sql import sql

_EVER: Final = 2**62


def silent(tables: Tables) -> list[Series]:
    """Return the series without a value, as one state of the store has it; they may be written to meanwhile."""
    fresh = {one.id for one in tables.dictionary.fresh.series}
    series = [(one, list(one.keys.values())) for one in tables.lookup.all() if one.id not in fresh]
    alive = np.zeros(tables.dictionary.key_count, dtype=np.bool_)
    with tables.views.lasting() as seen:
        for known in seen.shelves.values():
            for part in plan([known], -_EVER, _EVER, HOUR):
                question = sql(
                    "SELECT DISTINCT key FROM {place} WHERE {within}",
                    place=place(part, tables.folder),
                    within=within(part.stretches),
                )
                keys = seen.cursor.execute(question).fetchnumpy()["key"]
                alive[keys[keys < len(alive)]] = True
    return [one for one, keys in series if not alive[keys].any()]
