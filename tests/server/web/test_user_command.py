import argparse
import io

import pytest

from server.cli import user
from server.state.database import Database
from server.web import accounts
from server.web.accounts import Passwords

PASSWORD = "kata-sandi-panjang"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run ``pantau user ...`` with a password on standard input; return the exit code and what was printed."""
    (tmp_path / "services.toml").write_text('[[agency]]\nid = "kominfo"\nname = "Dinas Kominfo"\n')
    settings = tmp_path / "server.toml"
    settings.write_text(f'[server]\ndata = "{tmp_path}/data"\n')

    def command(*words, password=PASSWORD):
        parser = argparse.ArgumentParser()
        user.add(parser.add_subparsers())
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
        arguments = parser.parse_args(["user", *words, "--settings", str(settings)])
        code = arguments.run(arguments)
        told = capsys.readouterr()
        return code, told.out + told.err

    command.folder = tmp_path / "data"
    return command


def find(folder, name):
    database = Database(f"sqlite:///{folder}/state.db")
    with database.engine.connect() as tx, tx.begin():
        found = accounts.find(tx, name)
    database.close()
    return found


def test_the_first_admin_is_made_on_the_command_line(run):
    code, told = run("add", "Sari", "--role", "admin", "--password-stdin")
    assert (code, told) == (0, "user sari made, role admin\n")
    account = find(run.folder, "sari")
    assert account.role == "admin"
    assert Passwords().fits(account, PASSWORD)
    assert run("list") == (0, "sari                     admin\n")
    assert run.folder.stat().st_mode & 0o077 == 0, "hashes of passwords lie in there"


def test_a_name_that_is_taken_or_a_weak_password_is_refused(run):
    run("add", "sari", "--password-stdin")
    assert run("add", "sari", "--password-stdin") == (2, "pantau: there is a user 'sari' already\n")
    assert run("add", "budi", "--password-stdin", password="pendek") == (
        2,
        "pantau: a password has 10 to 1000 characters\n",
    )
    assert find(run.folder, "budi") is None


def test_a_user_can_be_shut_out_and_given_a_new_password(run):
    run("add", "sari", "--password-stdin")
    assert run("passwd", "sari", "--password-stdin", password="kata-sandi-baru")[0] == 0
    assert Passwords().fits(find(run.folder, "sari"), "kata-sandi-baru")
    assert run("disable", "sari") == (0, "user sari disabled\n")
    assert find(run.folder, "sari").disabled
    assert run("disable", "tiada") == (2, "pantau: there is no user 'tiada'\n")
