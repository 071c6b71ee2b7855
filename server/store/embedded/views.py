"""What readers of the embedded store see: its shelves and a connection that belongs to them, while the writer goes on."""

import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, TypeVar
from uuid import uuid4

from server.store.embedded.database import Database
from server.store.embedded.file import Connection
from server.store.embedded.levels import Shelf
from server.store.embedded.reading import text
from server.store.sql import identifier, sql

T = TypeVar("T")
_EVER: Final = 2**63 - 1
_TRIES: Final = 3


class View(NamedTuple):
    """One state of the store: a connection that sees it, and the shelves that belong to it."""

    cursor: Connection
    shelves: Mapping[str, Shelf]


class Views:
    """The shelves of a database, changed in one transaction with its rows; reading belongs to any thread.

    Files stay as long as anybody sees them.
    """

    def __init__(self, database: Database) -> None:
        self.shelves: Mapping[str, Shelf] = {}
        self._database = database
        self._state = threading.Lock()
        self._turn = 0
        self._readers: dict[int, int] = {}
        self._gone: list[tuple[int, str]] = []

    @contextmanager
    def transaction(self, shelves: Mapping[str, Shelf]) -> Iterator[None]:
        """Run a transaction; when it ends the shelves are these, for readers at the same instant as what it wrote."""
        database = self._database
        with database.plain_errors():
            database.execute("BEGIN")
            try:
                yield
                if all(self.shelves[kind] is new for kind, new in shelves.items()):
                    database.execute("COMMIT")
                else:
                    with self._state:
                        database.execute("COMMIT")
                        self.shelves = {**self.shelves, **shelves}
            except BaseException:
                database.rollback()
                raise

    def retire(self, names: Iterable[str]) -> None:
        """Delete files of which the last transaction let go, as soon as nobody sees them."""
        with self._state:
            self._gone += [(self._turn, name) for name in names]
            self._turn += 1
        self._sweep()

    def _sweep(self) -> None:
        """Delete files that are gone and that nobody reads any more."""
        with self._state:
            oldest = min(self._readers.values(), default=_EVER)
            free = [name for turn, name in self._gone if turn < oldest]
            self._gone = [one for one in self._gone if one[0] >= oldest]
        for name in free:
            (self._database.folder / name).unlink(missing_ok=True)

    @contextmanager
    def lasting(self) -> Iterator[View]:
        """See one state of everything until the block ends; its files stay that long."""
        with self._look(lasting=True) as seen:
            yield seen

    @contextmanager
    def _look(self, *, lasting: bool) -> Iterator[View]:
        """See the store until the block ends; each statement sees a state of its own when it is not ``lasting``."""
        with self._database.plain_errors():
            with self._state:
                cursor = self._database.cursor()
                if lasting:
                    cursor.execute("BEGIN")
                    # a transaction sees what was there at its first question
                    cursor.execute("SELECT format FROM about").fetchall()
                seen = View(cursor, self.shelves)
                self._readers[id(cursor)] = self._turn
            try:
                yield seen
            finally:
                with self._state:
                    del self._readers[id(cursor)]
                cursor.close()
                self._sweep()

    def answer(self, question: Callable[[View], T]) -> T:
        """Answer a question of one statement, again when rows went into files meanwhile: quicker than a lasting view."""
        for _ in range(_TRIES):
            with self._look(lasting=False) as seen:
                answer = question(seen)
                with self._state:
                    if self.shelves is seen.shelves:
                        return answer
        with self.lasting() as seen:
            return question(seen)

    def copy(self, folder: Path) -> None:
        """Copy one state of everything into a new folder, beside writing and reading.

        Sorted files never change, so on the same file system they are hard links.
        """
        database = self._database
        folder, name = folder.absolute(), identifier(f"copied_{uuid4().hex}")
        try:
            with self.lasting() as seen:
                (folder / database.folder.name).mkdir(parents=True)
                seen.cursor.execute(
                    sql("ATTACH {path} AS {name}", path=text(folder / database.file.name, wild=False), name=name)
                )
                seen.cursor.execute(
                    sql("COPY FROM DATABASE {own} TO {name}", own=identifier(database.file.stem), name=name)
                )
                seen.cursor.execute("COMMIT")
                for known in seen.shelves.values():
                    for one in known.files():
                        _link(database.folder / one.name, folder / database.folder.name / one.name)
        finally:
            # also of a copy that failed: what is attached would stay open until the end
            with database.plain_errors():
                database.cursor().execute(sql("DETACH DATABASE IF EXISTS {name}", name=name))


def _link(file: Path, to: Path) -> None:
    try:
        to.hardlink_to(file)
    except OSError:  # another file system, or one without such links
        shutil.copyfile(file, to)
