"""The embedded store's tables: the only module that knows DuckDB.

One narrow table for each type of value, ``(key, time, value)``, in the order of writing; a time and key stands there once.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb
import msgspec
import numpy as np

from collectors.point import UInt, Value
from server.store import Aggregate, Latest, Range, Series, StoreUnavailable
from server.store.embedded_columns import Chunk, Marks
from server.store.embedded_series import Dictionary, Fresh
from server.store.kinds import KINDS, require_suited

_FORMAT: Final = 1
_LOG_MAX: Final = "16MB"  # what a start after a crash has to read again: 0.1 s
# what the world does to a database; all other errors are our bugs
_AWAY: Final = (duckdb.OperationalError, duckdb.InternalError, duckdb.FatalException)
_PREFIX: Final = re.compile(r"^(?:\w+ )?Error: ")
_SQL_TYPES: Final = {
    "float": "DOUBLE",
    "integer": "BIGINT",
    "unsigned": "UBIGINT",
    "boolean": "BOOLEAN",
    "string": "VARCHAR",
}
_TABLES: Final = {kind: f"{kind}_points" for kind in KINDS.values()}
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS about (format INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS series (id UINTEGER NOT NULL, measurement VARCHAR NOT NULL, tags VARCHAR NOT NULL)",
    "CREATE TABLE IF NOT EXISTS fields (id UINTEGER NOT NULL, measurement VARCHAR NOT NULL, name VARCHAR NOT NULL, kind VARCHAR NOT NULL)",
    "CREATE TABLE IF NOT EXISTS keys (id UINTEGER NOT NULL, series UINTEGER NOT NULL, field UINTEGER NOT NULL)",
    *(
        f"CREATE TABLE IF NOT EXISTS {table} (key UINTEGER NOT NULL, time BIGINT NOT NULL, value {_SQL_TYPES[kind]} NOT NULL)"
        for kind, table in _TABLES.items()
    ),
)
# a window starts at a whole multiple of the step, also before 1970
_WINDOW: Final = "time - ((time % $step) + $step) % $step"
_ROWS: Final = "FROM {table} JOIN wanted USING (key) WHERE time >= $start AND time < $end"
_RANGE: Final = f"""
    SELECT grp, {_WINDOW} AS moment, CAST({{value}} AS DOUBLE) AS value {_ROWS}
    GROUP BY grp, moment ORDER BY grp, moment"""
_AGGREGATES: Final = {
    Aggregate.MEAN: "avg(value)",
    Aggregate.MIN: "min(value)",
    Aggregate.MAX: "max(value)",
    # of several series that are equally new the greatest counts, as in InfluxDB
    Aggregate.LAST: "arg_max(value, (time, value))",
    Aggregate.SUM: "sum(value)",
    Aggregate.COUNT: "count(*)",
}
_LAST_ALONE: Final = "arg_max(value, time)"  # three times as fast
# differences are taken as {exact}: a double would round counters beyond 2^53, an unsigned would underflow
_RATE: Final = f"""
    WITH lasts AS (
        SELECT grp, key, {_WINDOW} AS moment, CAST(arg_max(value, time) AS {{exact}}) AS value {_ROWS} GROUP BY grp, key, moment),
    changes AS (
        SELECT grp, moment, value - lag(value) OVER series AS change, moment - lag(moment) OVER series AS span
        FROM lasts WINDOW series AS (PARTITION BY key ORDER BY moment))
    SELECT grp, moment, sum(CAST(change AS DOUBLE) / (CAST(span AS DOUBLE) / 1e9)) AS value
    FROM changes WHERE change >= 0 GROUP BY grp, moment ORDER BY grp, moment"""  # noqa: S608 - our own names
_LATEST: Final = """
    SELECT key, max(time) AS time, arg_max(value, time) AS value FROM {table} JOIN wanted USING (key) WHERE time >= $since GROUP BY key"""


class Tables:
    """An open database file with its dictionary. ``write`` and ``drop_before`` belong to one thread, the rest to any.

    Every call may raise StoreUnavailable; when ``broken`` is set after that, only opening anew helps.
    """

    def __init__(self, file: Path, *, memory: int) -> None:
        """Open or create the file; ``memory`` is what DuckDB may take, in bytes."""
        self.file = file
        self.broken = False
        self.dictionary = Dictionary()
        with self._plain_errors():
            file.parent.mkdir(parents=True, exist_ok=True)
            self._writer = duckdb.connect(
                file,
                config={
                    "memory_limit": f"{memory}B",
                    "checkpoint_threshold": _LOG_MAX,
                    "temp_directory": str(file.with_suffix(".tmp")),
                    "autoinstall_known_extensions": False,
                    "autoload_known_extensions": False,
                },
            )
        try:
            with self._plain_errors():
                self._load()
        except BaseException:
            self._writer.close()
            raise

    def _load(self) -> None:
        for statement in _SCHEMA:
            self._writer.execute(statement)
        found = self._writer.execute("SELECT format FROM about").fetchone()
        if found is None:
            self._writer.execute("INSERT INTO about VALUES (?)", [_FORMAT])
        elif found[0] != _FORMAT:
            raise StoreUnavailable(f"{self.file} has format {found[0]}, this version of Pantau reads {_FORMAT}")
        tags = msgspec.json.Decoder(dict[str, str])
        self.dictionary.load(
            [(number, name, tags.decode(text)) for number, name, text in self._all("SELECT * FROM series ORDER BY id")],
            self._all("SELECT id, measurement, name, kind FROM fields"),
            self._all("SELECT id, series, field FROM keys"),
        )
        newest = [row[0] for table in _TABLES.values() for row in self._all(f"SELECT max(time) FROM {table}")]  # noqa: S608 - our own names
        self._marks = Marks(self.dictionary.key_count, max((time for time in newest if time is not None), default=None))

    def _all(self, statement: str) -> list[tuple[Any, ...]]:
        return self._writer.execute(statement).fetchall()

    def close(self) -> None:
        """Move what the log holds into the file and close it."""
        try:
            self._writer.close()
        except duckdb.Error as error:
            raise StoreUnavailable(_words(error)) from error

    # --- writing -----------------------------------------------------------------------------------------------------

    def write(self, chunks: Mapping[str, Chunk]) -> None:
        """Write columns by type, and what is fresh in the dictionary, in one transaction; on disk when this returns."""
        with self._plain_errors(), self._transaction():
            self._save(self.dictionary.fresh)
            for kind, rows in chunks.items():
                table = _TABLES[kind]
                late = self._marks.late(rows)
                if late.any():
                    self._delete(table, rows.only(late))
                self._insert(table, "key, time, value", rows._asdict())
        self.dictionary.saved()
        for rows in chunks.values():
            self._marks.note(rows)

    def drop_before(self, time: int) -> None:
        """Delete points older than ``time``."""
        with self._plain_errors(), self._transaction():
            for table in _TABLES.values():
                self._writer.execute(f"DELETE FROM {table} WHERE time < ?", [time])  # noqa: S608 - our own names

    def _save(self, fresh: Fresh) -> None:
        if fresh.series:
            encode = msgspec.json.encode
            rows = [(series.id, series.measurement, encode(series.tags).decode()) for series in fresh.series]
            self._insert("series", "id, measurement, tags", _columns(("id", "measurement", "tags"), rows))
        if fresh.fields:
            self._insert(
                "fields", "id, measurement, name, kind", _columns(("id", "measurement", "name", "kind"), fresh.fields)
            )
        if fresh.keys:
            self._insert("keys", "id, series, field", _columns(("id", "series", "field"), fresh.keys))

    def _insert(self, table: str, names: str, columns: dict[str, Any]) -> None:
        self._writer.register("batch", columns)
        self._writer.execute(f"INSERT INTO {table} SELECT {names} FROM batch")  # noqa: S608 - our own names

    def _delete(self, table: str, rows: Chunk) -> None:
        self._writer.register("late", {"key": rows.key, "time": rows.time})
        # the range lets DuckDB pass over everything that is older or newer
        self._writer.execute(
            f"DELETE FROM {table} USING late WHERE {table}.key = late.key AND {table}.time = late.time AND {table}.time BETWEEN ? AND ?",  # noqa: S608 - our own names
            [int(rows.time[0]), int(rows.time[-1])],
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._writer.execute("BEGIN")
        try:
            yield
            self._writer.execute("COMMIT")
        except BaseException:
            try:
                self._writer.execute("ROLLBACK")
            except duckdb.FatalException:
                self.broken = True
            except duckdb.Error:
                pass  # a commit that fails has ended the transaction
            raise

    # --- reading -----------------------------------------------------------------------------------------------------

    def latest(self, measurement: str, fields: Sequence[str], since: int, where: Mapping[str, str]) -> list[Latest]:
        """See ``Store.latest``."""
        kinds = self.dictionary.fields(measurement)
        series = self.dictionary.series(measurement, where)
        asked = [field for field in dict.fromkeys(fields) if field in kinds]
        found: dict[int, tuple[int, Value]] = {}
        for kind in dict.fromkeys(kinds[field] for field in asked):
            names = [field for field in asked if kinds[field] == kind]
            keys = [one.keys[name] for one in series for name in names if name in one.keys]
            if keys:
                rows = self._select(_LATEST.format(table=_TABLES[kind]), {"since": since}, key=keys)
                values = rows["value"].tolist()
                if kind == "unsigned":
                    values = [UInt(value) for value in values]
                found.update(zip(rows["key"].tolist(), zip(rows["time"].tolist(), values, strict=True), strict=True))
        answers = []
        for one in series:
            newest = {name: found[one.keys[name]] for name in asked if one.keys.get(name) in found}
            if newest:
                now = {name: value for name, (_, value) in newest.items()}
                answers.append(Latest(one.tags, now, max(time for time, _ in newest.values())))
        return sorted(answers, key=lambda answer: tuple(answer.tags.items()))

    def range(self, query: Range) -> list[Series]:
        """See ``Store.range``; ValueError when the aggregate does not suit the field's type."""
        kind = self.dictionary.fields(query.measurement).get(query.field)
        groups = self.dictionary.groups(query.measurement, query.field, query.where, query.by)
        if kind is None or not groups:
            return []
        require_suited(query, kind)
        keys = [key for members in groups.values() for key in members]
        statement = _statement(query.aggregate, kind, alone=len(keys) == len(groups))
        grouped = np.repeat(np.arange(len(groups), dtype=np.uint32), [len(members) for members in groups.values()])
        bounds = {"start": query.start, "end": query.end, "step": query.step}
        rows = self._select(statement, bounds, key=keys, grp=grouped)
        # rows come sorted by group
        edges = np.searchsorted(rows["grp"], np.arange(len(groups) + 1))
        return [
            Series(
                dict(zip(query.by, label, strict=True)),
                rows["moment"][edges[index] : edges[index + 1]].tolist(),
                rows["value"][edges[index] : edges[index + 1]].tolist(),
            )
            for index, label in enumerate(groups)
            if edges[index] < edges[index + 1]
        ]

    def tag_values(self, measurement: str, tag: str, where: Mapping[str, str]) -> list[str]:
        """See ``Store.tag_values``."""
        return sorted({one.tags[tag] for one in self.dictionary.series(measurement, where) if tag in one.tags})

    def _select(self, statement: str, parameters: dict[str, int], **wanted: Any) -> dict[str, np.ndarray[Any, Any]]:
        """Run a question that joins the columns ``wanted``, beside the writer."""
        with self._plain_errors(), self._writer.cursor() as cursor:
            cursor.register("wanted", {name: np.asarray(column, dtype=np.uint32) for name, column in wanted.items()})
            return cursor.execute(statement, parameters).fetchnumpy()

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except _AWAY as error:
            self.broken |= isinstance(
                error, (duckdb.FatalException, duckdb.InternalException, duckdb.ConnectionException)
            )
            raise StoreUnavailable(_words(error)) from error
        except OSError as error:
            raise StoreUnavailable(f"{self.file}: {error.strerror}") from error


def _statement(aggregate: Aggregate, kind: str, *, alone: bool) -> str:
    """Return the question for one type of field; ``alone`` when no group has two series."""
    if aggregate is Aggregate.RATE:
        return _RATE.format(table=_TABLES[kind], exact="DOUBLE" if kind == "float" else "HUGEINT")
    value = _LAST_ALONE if alone and aggregate is Aggregate.LAST else _AGGREGATES[aggregate]
    return _RANGE.format(table=_TABLES[kind], value=value)


def _columns(names: Sequence[str], rows: Sequence[Sequence[object]]) -> dict[str, Any]:
    """Turn rows into named arrays, as DuckDB takes them in at once."""
    columns = zip(*rows, strict=True)
    return {
        name: np.array(column, dtype=object if isinstance(column[0], str) else np.uint32)
        for name, column in zip(names, columns, strict=True)
    }


def _words(error: duckdb.Error) -> str:
    """Say in one line what the database says, e.g. without "IO Error: " and advice."""
    text = _PREFIX.sub("", str(error).partition("\n")[0]).partition(" See also ")[0]
    return f"the store is in use by another process: {text}" if "Conflicting lock" in text else text
