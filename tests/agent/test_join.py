"""``pantau-agent join`` against a centre that answers this or that, as the person at the keyboard sees it."""

import json
import os
import pwd
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from parts import free_port, require

from agent import settings
from agent.join import _hand_over
from agent.machine import fingerprint

GIVEN = {"token": "pantau_agent_1", "host": "srv-1", "org": "kota", "bucket": "ukur"}


@pytest.fixture
def hall():
    """A centre where hosts join: ``hall.answer`` is (status, JSON), ``hall.asked`` what came."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.asked.append((self.path, dict(self.headers), json.loads(body)))
            status, told = server.answer
            self.send_response(status)
            self.end_headers()
            self.wfile.write(told if isinstance(told, bytes) else json.dumps(told).encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.answer = [], (201, GIVEN)
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(tmp_path):
    """Run the command; return exit code, what it said and what it complained of."""
    file = tmp_path / "etc/agent.toml"

    def command(*words, typed=""):
        program = [sys.executable, "-m", "agent.cli", "join", "--settings", file, *words]
        ended = subprocess.run(program, input=typed, capture_output=True, text=True, timeout=90, check=False)
        return ended.returncode, ended.stdout, ended.stderr

    command.file = file
    command.token = file.with_name("agent.token")
    return command


def test_it_writes_its_token_for_nobody_else_and_settings_that_can_be_used(run, hall):
    code, told, _ = run(hall.url, "pantau_join_1", "--host", "srv-1")
    assert (code, f"settings were written to {run.file}" in told) == (0, True)
    assert run.token.read_text() == "pantau_agent_1\n"
    assert run.token.stat().st_mode & 0o777 == 0o600
    found = settings.read(run.file)
    assert (found.output.url, found.output.org, found.output.bucket) == (hall.url, "kota", "ukur")
    assert found.tags["host"] == "srv-1"
    path, headers, asked = hall.asked[0]
    assert path == "/api/pantau/join"
    assert asked == {"token": "pantau_join_1", "host": "srv-1", "machine": fingerprint(), "renew": False}
    assert "Authorization" not in headers
    assert "pantau_agent_1" not in told


def test_the_one_time_token_need_not_stand_on_the_command_line(run, hall):
    assert run(hall.url, typed="pantau_join_2\n")[0] == 0
    assert hall.asked[0][2]["token"] == "pantau_join_2"


def test_the_one_time_token_is_read_from_a_file_the_environment_or_standard_input(run, hall, tmp_path, monkeypatch):
    file = tmp_path / "invited"
    file.write_text("pantau_join_3\n")
    code, told, complaint = run(hall.url, "--token-file", file)
    assert (code, complaint, "command line" in told) == (0, "", False)
    monkeypatch.setenv("PANTAU_JOIN_TOKEN", "pantau_join_4")
    assert run("--renew")[0] == 0
    monkeypatch.delenv("PANTAU_JOIN_TOKEN")
    assert run("--renew", typed="pantau_join_5\n")[0] == 0
    assert [asked["token"] for _, _, asked in hall.asked] == ["pantau_join_3", "pantau_join_4", "pantau_join_5"]


def test_at_a_keyboard_it_asks_and_shows_nothing_of_what_is_typed(run, hall):
    keyboard, screen = os.openpty()
    # the prompt goes to the terminal that the process has as its own
    own_terminal = [require("setsid", "util-linux"), "--ctty"]
    command = [*own_terminal, sys.executable, "-m", "agent.cli", "join", hall.url, "--settings", run.file]
    with subprocess.Popen(command, stdin=screen, stdout=screen, stderr=screen) as process:
        os.close(screen)
        shown = _read_until(keyboard, b"One-time token: ")
        os.write(keyboard, b"pantau_join_6\n")
        shown += _read_until(keyboard, b"joined as srv-1")
        assert process.wait(60) == 0
    os.close(keyboard)
    assert hall.asked[0][2]["token"] == "pantau_join_6"
    assert b"pantau_join_6" not in shown


def test_a_token_on_the_command_line_still_works_and_is_advised_against(run, hall):
    code, told, complaint = run(hall.url, "pantau_join_7")
    assert (code, complaint, hall.asked[0][2]["token"]) == (0, "", "pantau_join_7")
    assert "the one-time token stood on the command line, where other users can read it" in told


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"two words", "holds something else"),
        (b"pantau_join_1\npantau_join_2\n", "holds something else"),
        (b"\xff\x00", "holds something else"),
        (None, "No such file or directory"),
    ],
)
def test_where_no_token_is_it_says_so_in_one_line_and_asks_nobody(run, hall, tmp_path, content, words):
    file = tmp_path / "invited"
    if content is not None:
        file.write_bytes(content)
    code, told, complaint = run(hall.url, "--token-file", file)
    assert (code, told, complaint.count("\n"), hall.asked) == (2, "", 1, [])
    assert words in complaint
    assert str(file) in complaint


def test_a_token_that_is_given_twice_or_not_at_all_is_refused(run, hall, tmp_path):
    assert "is given twice" in run(hall.url, "pantau_join_1", "--token-file", tmp_path / "x")[2]
    assert run(hall.url, typed="")[::2] == (2, "pantau-agent: no one-time token: standard input is empty\n")
    assert hall.asked == []


def _read_until(terminal, words):
    shown = b""
    while words not in shown:
        shown += os.read(terminal, 1000)
    return shown


def test_a_host_that_has_a_token_joins_afresh_only_on_request_and_without_the_address(run, hall):
    run(hall.url, "pantau_join_1")
    code, _, complaint = run(hall.url, "pantau_join_2")
    assert (code, "to join afresh: --renew" in complaint) == (1, True)
    before = run.file.read_text()
    hall.answer = (201, GIVEN | {"token": "pantau_agent_2"})
    assert run("pantau_join_2", "--renew")[0] == 0
    assert run.token.read_text() == "pantau_agent_2\n"
    assert run.file.read_text() == before
    assert hall.asked[-1][2] | {"machine": ""} == {
        "token": "pantau_join_2",
        "host": "srv-1",
        "machine": "",
        "renew": True,
    }
    assert len(hall.asked) == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((401, {}), "unknown, used up or too old"),
        ((404, {}), "no centre of Pantau"),
        (
            (409, {}),
            "another machine has joined as srv-1; another name: --host NAME, or, at the centre, for its successor",
        ),
        ((403, {"message": "it is for the host srv-2"}), "it is for the host srv-2"),
        ((429, {}), "try again in a minute"),
        ((500, b"oops"), "HTTP 500: oops"),
        ((500, "a\x1b]0;title\x07b\u202ec\x9b2J\r\nd\x00".encode()), "HTTP 500: a?]0;title?b?c?2J d?"),
        ((201, b"<html>log in</html>"), "does not answer as a centre of Pantau"),
        ((201, GIVEN | {"host": "srv-1\x1b[2J"}), "does not answer as a centre of Pantau"),
        ((201, GIVEN | {"token": "one\ntwo"}), "does not answer as a centre of Pantau"),
        ((201, GIVEN | {"org": ""}), "does not answer as a centre of Pantau"),
    ],
)
def test_a_refusal_is_one_line_and_leaves_nothing_behind(run, hall, answer, words):
    hall.answer = answer
    code, told, complaint = run(hall.url, "pantau_join_1", "--host", "srv-1")
    assert (code, told, complaint.count("\n")) == (1, "", 1)
    assert words in complaint
    assert "pantau_join_1" not in complaint
    assert list(run.file.parent.iterdir()) == []


def test_where_the_token_cannot_be_written_no_one_time_token_is_spent(run, hall, tmp_path):
    (tmp_path / "etc").write_text("a file where a folder should be")
    code, _, complaint = run(hall.url, "pantau_join_1")
    assert (code, complaint.startswith("pantau-agent: cannot write")) == (1, True)
    assert hall.asked == []


def test_nobody_answers(run):
    code, _, complaint = run(f"http://127.0.0.1:{free_port()}", "pantau_join_1")
    assert (code, "Connection refused" in complaint) == (1, True)


def test_without_settings_it_must_be_told_the_address(run):
    assert "say the address of the centre too" in run("pantau_join_1")[2]
    assert "expected an address" in run("ftp://x", "pantau_join_1")[2]


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("", 'has no token: write token = { file = "agent.token" }'),
        ('token = { env = "X" }', "takes the token from the environment (X), which cannot be written"),
    ],
)
def test_settings_that_have_no_place_for_a_token_are_explained(run, hall, token, words):
    run.file.parent.mkdir()
    run.file.write_text(f'[output]\nurl = "{hall.url}"\n{token}\n')
    code, _, complaint = run("pantau_join_1")
    assert (code, words in complaint, hall.asked) == (1, True, [])


def test_a_credential_of_systemd_goes_beside_the_settings_and_the_name_should_be_pinned(run, hall):
    run.file.parent.mkdir()
    run.file.write_text(f'[output]\nurl = "{hall.url}"\ntoken = {{ credential = "mine" }}\n')
    code, told, _ = run("pantau_join_1")
    assert (code, 'set host = "srv-1" in [agent]' in told) == (0, True)
    assert run.file.with_name("mine").read_text() == "pantau_agent_1\n"


def test_other_names_than_the_settings_say_are_refused(run, hall):
    run(hall.url, "pantau_join_1", "--host", "srv-1")
    assert "calls this host srv-1" in run("pantau_join_1", "--renew", "--host", "srv-2")[2]
    assert "sends to" in run("http://127.0.0.2:1", "pantau_join_1", "--renew")[2]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_of_a_token_that_is_replaced_is_kept(run, hall):
    run(hall.url, "pantau_join_1")
    os.chown(run.token, 12345, 12345)
    run("pantau_join_1", "--renew")
    assert (run.token.stat().st_uid, run.token.stat().st_mode & 0o777) == (12345, 0o600)


@pytest.mark.skipif(os.geteuid() != 0 or Path("/run/systemd/system").exists(), reason="root without systemd")
def test_without_systemd_the_token_is_given_to_the_user_of_the_service(tmp_path):
    with (tmp_path / "fresh").open("w") as fresh:
        _hand_over(fresh.fileno(), tmp_path / "agent.token", user="nobody")
        assert os.fstat(fresh.fileno()).st_uid == pwd.getpwnam("nobody").pw_uid
        _hand_over(fresh.fileno(), tmp_path / "agent.token", user="no-such-user")
