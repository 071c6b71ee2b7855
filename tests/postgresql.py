"""A real PostgreSQL for tests, which can be stopped and started again."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import weakref
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from parts import daemon, free_port, wait_for
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError


def _remove(folder):
    """Remove a folder in a thread: what holds it may be collected within an event loop, which must not be held up."""
    thread = threading.Thread(target=shutil.rmtree, args=(folder, True))
    with suppress(RuntimeError):  # too late to start one
        thread.start()


class Server:
    """A PostgreSQL on a free port of 127.0.0.1 whose owner ``pantau`` needs ``password`` if that is given.

    ``url`` lacks the name of a database.
    """

    def __init__(self, password=""):
        pytest.importorskip("psycopg", reason="psycopg is missing: uv pip install 'psycopg[binary]'")
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        if not found:
            pytest.skip("PostgreSQL is missing: apt-get install postgresql")
        # not in pytest's own folder, which every other run of pytest shuts to all but root
        self.folder = folder = Path(tempfile.mkdtemp(prefix="pantau-postgresql-"))
        weakref.finalize(self, _remove, folder)
        self.binary, self.port, self.password = found[-1], free_port(), password
        self.url = f"postgresql+psycopg://pantau@127.0.0.1:{self.port}"
        self.user, self.switch = {}, []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            owner = pwd.getpwnam("nobody")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
            self.user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
            self.switch = ["setpriv", "--reuid=nobody", f"--regid={owner.pw_gid}", "--clear-groups"]
        make = [self.binary.with_name("initdb"), "-D", folder / "data", "-U", "pantau", "-E", "UTF8", "--no-sync"]
        if password:
            (folder / "password").write_text(password)
            make += ["-A", "scram-sha-256", "--pwfile", folder / "password"]
        else:
            make += ["-A", "trust"]
        subprocess.run(make, check=True, capture_output=True, cwd=folder, **self.user)

    @contextmanager
    def running(self):
        """Run it until the block ends."""
        command = [*self.switch, self.binary, "-D", self.folder / "data", "-p", self.port, "-k", self.folder]
        with daemon([*command, "-h", "127.0.0.1", "-F"], port=self.port, log=self.folder / "log") as process:
            self.process = process
            wait_for(self._answers, 20, "PostgreSQL's start")  # it listens before it lets anybody in
            yield

    def stop_at_once(self):
        """End it as a crash would; whoever entered ``running`` leaves it afterwards."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(60)

    def make(self, name):
        """Make an empty database and return its URL."""
        self.run(f"CREATE DATABASE {name}")
        return f"{self.url}/{name}"

    def run(self, statement):
        """Run a statement as the owner; return its rows, if it has some."""
        engine = self._engine(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            done = connection.exec_driver_sql(statement)
            rows = done.all() if done.returns_rows else []
        engine.dispose()
        return rows

    def _engine(self, **options):
        arguments = {"password": self.password} if self.password else {}
        return create_engine(f"{self.url}/postgres", connect_args=arguments, **options)

    def _answers(self):
        engine = self._engine()
        try:
            with engine.connect():
                return True
        except OperationalError:
            return False
        finally:
            engine.dispose()
