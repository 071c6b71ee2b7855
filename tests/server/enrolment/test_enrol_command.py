"""``pantau enrol`` as the person at the centre types it."""

import re

import pytest

from server.cli.main import main
from server.enrolment import invitations
from server.state.database import Database

ONE = "aaaaaaaaaaaa 111111111111"
COPY = "aaaaaaaaaaaa 333333333333"


@pytest.fixture
def run(tmp_path, capsys):
    """Run ``pantau enrol ...``; return the exit code and what was printed."""
    (tmp_path / "services.toml").write_text('[[agency]]\nid = "kominfo"\nname = "Dinas Kominfo"\n')
    settings = tmp_path / "server.toml"
    settings.write_text('[server]\ndata = "data"\npublic_url = "https://pantau.kota.example/"\n')

    def command(*words):
        code = main(["enrol", *words, "--settings", str(settings)])
        told = capsys.readouterr()
        return code, told.out + told.err

    command.folder = tmp_path / "data"
    return command


@pytest.fixture
def change(run):
    """Do something in the state of the centre."""

    def work(function, *arguments, **more):
        database = Database(f"sqlite:///{run.folder}/state.db")
        try:
            with database.engine.begin() as tx:
                return function(tx, *arguments, **more)
        finally:
            database.close()

    return work


def invited(run, *words):
    code, told = run("new", *words)
    assert code == 0
    # the command that is printed holds no token: a command line can be read by every user of the machine
    assert re.search(r"^  pantau-agent join https://pantau\.kota\.example( --host \S+)?$", told, re.MULTILINE)
    assert "Good for" in told
    return re.search(r"^  (pantau_join_\w{32})$", told, re.MULTILINE)[1]


def test_a_new_token_comes_with_the_command_for_the_host_and_is_listed_without_its_value(run):
    token = invited(run, "--hosts", "20", "--ttl", "8h")
    code, told = run("list")
    assert (code, told.startswith("#1 "), "20 left" in told, token in told) == (0, True, True, False)
    assert run("new")[1].startswith("Good for 1 host until ")


def test_hosts_that_joined_are_listed_revoked_and_accepted(run, change):
    token = invited(run)
    change(invitations.join, token, host="srv-1", machine=ONE, at=2**40, address="10.0.0.1")
    assert re.match(r"srv-1 +joined .* from 10\.0\.0\.1$", run("list")[1])
    assert run("accept", "srv-1") == (2, "pantau: no other machine was refused the name srv-1\n")
    (agent,) = change(invitations.agents)
    change(invitations.claim, agent, machine=COPY, address="10.0.0.2", at=2**40)
    assert "another machine at 10.0.0.2 was refused" in run("list")[1]
    assert run("accept", "srv-1")[0] == 0
    assert change(invitations.agents)[0].machine == COPY
    assert run("revoke", "srv-1")[0] == 0
    assert run("list") == (0, "nobody has joined yet\n")


def test_a_token_for_one_host_comes_with_its_name_and_is_listed_with_it(run):
    code, told = run("new", "--host", "srv-1")
    assert (code, told.startswith("Good for host srv-1 until ")) == (0, True)
    assert "pantau-agent join https://pantau.kota.example --host srv-1\n" in told
    assert "one-time token, for srv-1, until" in run("list")[1]


def test_a_machine_is_accepted_only_from_the_address_that_was_meant(run, change):
    change(invitations.join, invited(run), host="srv-1", machine=ONE, at=2**40, address="10.0.0.1")
    (agent,) = change(invitations.agents)
    change(invitations.claim, agent, machine=COPY, address="10.0.0.66", at=2**40)
    refused = "pantau: the machine that was refused the name srv-1 last is at 10.0.0.66\n"
    assert run("accept", "srv-1", "--from", "10.0.0.2") == (2, refused)
    assert change(invitations.agents)[0].machine == ONE
    code, told = run("accept", "srv-1", "--from", "10.0.0.66")
    assert (code, told.startswith("srv-1 is now the machine at 10.0.0.66")) == (0, True)


def test_a_one_time_token_is_ended_by_its_number(run):
    invited(run)
    assert run("revoke", "#1") == (0, "one-time token #1 ended; hosts that joined with it stay\n")
    assert run("revoke", "#1") == (2, "pantau: there is no one-time token 1\n")
    assert run("list") == (0, "nobody has joined yet\n")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("new", "--hosts", "0"), "hosts: expected 1 to 10000, got 0"),
        (("new", "--ttl", "0s"), "the token would be too old at once"),
        (
            ("new", "--host", "srv-1", "--hosts", "2"),
            "a one-time token for srv-1 is good for that host only, not for 2",
        ),
        (("new", "--host", "srv 1"), "host: expected a name of up to 255 characters without blanks, got 'srv 1'"),
        (("revoke", "srv-9"), "no host has joined as 'srv-9'"),
        (("accept", "srv-9"), "no host has joined as 'srv-9'"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(run, words, complaint):
    assert run(*words) == (2, f"pantau: {complaint}\n")


def test_a_time_without_a_unit_is_refused(run, capsys):
    with pytest.raises(SystemExit):
        run("new", "--ttl", "8")
    assert "argument --ttl" in capsys.readouterr().err
