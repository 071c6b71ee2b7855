"""``pantau channel test``: a message that says it is only a try reaches everybody whom a channel reaches."""

import argparse

import pytest
from aiosmtpd.controller import Controller
from parts import free_port

from configs.read import SettingsError
from server.cli import channel

SETTINGS = """
[server]
data = "data"
title = "Pantau Kota"
[[channel]]
name = "surel"
type = "email"
host = "127.0.0.1"
port = {port}
security = "none"
from = "Pantau <pantau@kota.example>"
[[channel]]
name = "sepi"
type = "webhook"
url = "http://127.0.0.1:{port}/"
[[contact]]
id = "piket"
channels = [{{ channel = "surel", to = "noc@kota.example" }}]
[[contact]]
id = "tamu"
language = "en"
channels = [{{ channel = "surel", to = "guest@kota.example" }}, {{ channel = "surel", to = "noc@kota.example" }}]
"""


class Mailbox:
    def __init__(self):
        self.mails = []

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 - aiosmtpd's name
        self.mails.append((envelope.rcpt_tos, envelope.content.decode()))
        return "550 not here" if "nobody@kota.example" in envelope.rcpt_tos else "250 taken"


@pytest.fixture
def mailbox(tmp_path):
    box = Mailbox()
    server = Controller(box, hostname="127.0.0.1", port=free_port())
    server.start()
    (tmp_path / "services.toml").touch()
    (tmp_path / "server.toml").write_text(SETTINGS.format(port=server.port))
    yield box
    server.stop()


def run(folder, *words):
    parser = argparse.ArgumentParser()
    channel.add(parser.add_subparsers(required=True))
    arguments = parser.parse_args(["channel", "test", *words, "--settings", f"{folder}/server.toml"])
    return arguments.run(arguments)


def test_everybody_whom_it_reaches_gets_one_in_an_own_language(mailbox, tmp_path, capsys):
    assert run(tmp_path, "surel") == 0
    told = capsys.readouterr().out
    assert told.count("surel: sent to ") == 3
    assert [to for to, _ in mailbox.mails] == [["noc@kota.example"], ["guest@kota.example"], ["noc@kota.example"]]
    assert "Ini pesan uji coba" in mailbox.mails[0][1]
    assert "This is a trial" in mailbox.mails[1][1]


def test_one_address_and_what_is_refused(mailbox, tmp_path, capsys):
    assert run(tmp_path, "surel", "--to", "siti@kota.example") == 0
    assert [to for to, _ in mailbox.mails] == [["siti@kota.example"]]
    assert run(tmp_path, "surel", "--to", "nobody@kota.example") == 1
    assert "surel: not sent to nobody@kota.example: " in capsys.readouterr().err


def test_a_channel_that_there_is_not_or_that_reaches_nobody(mailbox, tmp_path):
    with pytest.raises(SettingsError, match=r"no \[\[channel\]\] is called 'fax'; there are: surel, sepi"):
        run(tmp_path, "fax")
    with pytest.raises(SettingsError, match=r"no contact is reached by channel 'sepi'"):
        run(tmp_path, "sepi")
