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
    run("add", "kepala", "--role", "admin", "--password-stdin")
    assert run("disable", "sari") == (0, "user sari disabled, open sessions ended\n")
    assert find(run.folder, "sari").disabled
    assert "sari                     viewer     disabled" in run("list")[1]
    assert run("enable", "Sari") == (0, "user sari enabled\n")
    assert not find(run.folder, "sari").disabled
    assert Passwords().fits(find(run.folder, "sari"), "kata-sandi-baru")
    for verb in (["disable"], ["enable"], ["role"], ["passwd", "--password-stdin"]):
        words = [verb[0], "tiada", *verb[1:], *(["admin"] if verb[0] == "role" else [])]
        assert run(*words) == (2, "pantau: there is no user 'tiada'\n")


def test_a_user_can_be_given_another_role(run, capsys):
    run("add", "sari", "--role", "admin", "--password-stdin")
    run("add", "budi", "--password-stdin")
    assert run("role", "budi", "admin") == (0, "user budi has role admin now, open sessions ended\n")
    assert run("role", "sari", "operator") == (0, "user sari has role operator now, open sessions ended\n")
    assert find(run.folder, "sari").role == "operator"
    told = run("disable", "budi")[1].splitlines()
    assert told[1:] == ["Note: nobody can log in as admin any more."]
    with pytest.raises(SystemExit):
        run("role", "sari", "raja")
    told = capsys.readouterr().err.replace("'", "")  # argparse of 3.11 quotes the choices, of 3.13 not
    assert "invalid choice: raja (choose from viewer, operator, evaluator, admin)" in told
