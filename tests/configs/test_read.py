from typing import Any

import msgspec
import pytest

from configs.read import SettingsError, Source
from configs.secret import Secret, SecretUnreadable
from configs.units import Duration, Flapping, Size


class Plug(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: str
    timeout: Duration = Duration(10)


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    interval: Duration = Duration(10)
    size: Size = Size(0)
    token: Secret | None = None
    mode: str | int = ""


class Outer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    agent: Inner = Inner()
    check: tuple[dict[str, Any], ...] = ()
    deep: dict[str, Inner] = {}
    tags: dict[str, str] = {}


def source(tmp_path, text):
    file = tmp_path / "a.toml"
    file.write_text(text, encoding="utf-8")
    return Source.read(file)


def refusal(tmp_path, text, shape=Outer):
    with pytest.raises(SettingsError) as caught:
        source(tmp_path, text).parse(shape)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x =", "a.toml:1: not valid TOML: invalid value"),
        ('\n[agent]\nintervall = "1s"', "a.toml:3: unknown field 'intervall' in [agent]; did you mean 'interval'?"),
        ("[agnet]", "a.toml:1: unknown field 'agnet' in the top level; did you mean 'agent'?"),
        ("[deep.one]\nzzz = 1", "a.toml:2: unknown field 'zzz' in [deep.one]"),
        ("[tags]\na = 'x'\nrack = 7", "a.toml:3: 'rack' in [tags]: expected a string, got a whole number"),
        ("agent.intervall = 1", "a.toml:1: unknown field 'intervall' in [agent]; did you mean 'interval'?"),
        ("check = 1", "a.toml:1: 'check' in the top level: expected a list, got a whole number"),
        ("[agent]\nmode = true", "a.toml:2: 'mode' in [agent]: expected a whole number or a string, got true or false"),
    ],
)
def test_a_refusal_says_file_line_table_and_what_was_expected(tmp_path, text, message):
    got = refusal(tmp_path, text)
    if "mode" in text:  # the order of a union is msgspec's own
        assert got in {message, message.replace("a whole number or a string", "a string or a whole number")}
    else:
        assert got == message


def test_the_second_phase_points_into_the_outer_file(tmp_path):
    read = source(tmp_path, '[[check]]\nurl = "a"\n\n[[check]]\nurl = "b"\ntimeuot = "1s"\n')
    outer = read.parse(Outer)
    assert read.parse(Plug, outer.check[0], ("check", 0)) == Plug("a")
    with pytest.raises(
        SettingsError, match=r"^a.toml:6: unknown field 'timeuot' in \[\[check\]\] #2; did you mean 'timeout'\?$"
    ):
        read.parse(Plug, outer.check[1], ("check", 1))


def test_lines_are_right_after_multi_line_strings_and_comments(tmp_path):
    text = 'agent.mode = """\n[check]\nfoo = 1\n"""\n# [x]\n[deep."a.b"] # here\nnope = 1\n'
    assert refusal(tmp_path, text) == "a.toml:7: unknown field 'nope' in [deep.a.b]"


def test_a_missing_file_and_bytes_that_are_not_text_are_told(tmp_path):
    with pytest.raises(SettingsError, match="No such file"):
        Source.read(tmp_path / "none.toml")
    (tmp_path / "b.toml").write_bytes(b'a = 1\nb = "\xff"\n')
    with pytest.raises(SettingsError, match=r"^b.toml:2: not UTF-8 text$"):
        Source.read(tmp_path / "b.toml")


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("10s", 10), ("5m", 300), ("1h30m", 5400), ("7d", 604800), ("1.5s", 1.5)]
)
def test_durations(text, seconds):
    assert Duration.parse(text) == seconds
    assert Duration.parse(text).ms == seconds * 1000


@pytest.mark.parametrize("text", ["", "10", "s", "10 s", "-1s", "10x", "1s!", 10, None, "1h 30m"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="expected a duration"):
        Duration.parse(text)


@pytest.mark.parametrize(("text", "size"), [("1B", 1), ("512KB", 512_000), ("64MiB", 2**26), ("1.5 GB", 1_500_000_000)])
def test_sizes(text, size):
    assert Size.parse(text) == size


@pytest.mark.parametrize("text", ["", "10", "MB", "1XB", -3, True])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="expected a size"):
        Size.parse(text)


@pytest.mark.parametrize(
    "value", [[], [4], ["4", "30m"], [4, 30], [4, "30"], [4, "0s"], [1, "30m"], [True, "30m"], [4, "30m", 1], "4", None]
)
def test_what_is_no_rate_of_changes_is_refused(value):
    assert Flapping.parse([2, "1m"]) == (2, 60.0)
    with pytest.raises(ValueError, match="expected a number of changes from 2 on and a stretch of time"):
        Flapping.parse(value)


def test_a_secret_is_read_afresh_from_its_file_beside_the_settings_and_cannot_be_printed(tmp_path):
    (tmp_path / "token").write_text("s3cret\n", encoding="utf-8")
    secret = source(tmp_path, '[agent]\ntoken = { file = "token" }').parse(Outer).agent.token
    assert secret.reveal() == "s3cret"
    assert "s3cret" not in f"{secret} {secret!r} {msgspec.structs.asdict(Inner(token=secret))}"
    (tmp_path / "token").write_text("rotated", encoding="utf-8")
    assert secret.reveal() == "rotated"


def test_a_secret_comes_from_the_environment_or_a_systemd_credential(tmp_path, monkeypatch):
    monkeypatch.setenv("PANTAU_X", "one")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "cred").write_text("two", encoding="utf-8")
    assert Secret.parse({"env": "PANTAU_X"}, tmp_path).reveal() == "one"
    assert Secret.parse({"credential": "cred"}, tmp_path).reveal() == "two"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"env": "PANTAU_NOT_SET"}, "the environment has no PANTAU_NOT_SET"),
        (
            {"credential": "x"},
            "nothing hands over the credential .x.: neither CREDENTIALS_DIRECTORY here, nor pantau-server.service",
        ),
        ({"file": "none"}, "cannot read the secret file .*none: No such file"),
        ({"file": "empty"}, "is empty"),
    ],
)
def test_a_place_without_a_secret_is_told_without_a_value(tmp_path, monkeypatch, table, message):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    with pytest.raises(SecretUnreadable, match=message):
        Secret.parse(table, tmp_path).reveal()


@pytest.mark.parametrize("value", ["inline", {"fil": "x"}, {}, {"file": "a", "env": "b"}, {"env": ""}, 3])
def test_a_secret_that_is_not_a_place_is_refused(tmp_path, value):
    with pytest.raises(ValueError, match="expected where the secret is kept"):
        Secret.parse(value, tmp_path)
