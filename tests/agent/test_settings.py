import socket

import pytest

from agent.settings import read
from configs.read import SettingsError

OUTPUT = '[output]\nurl = "http://127.0.0.1:8800"\n'
DEFAULTS = ["cpu", "mem", "swap", "disk", "diskio", "net", "system", "processes", "kernel", "container"]


@pytest.fixture
def settings(tmp_path):
    def build(text):
        file = tmp_path / "agent.toml"
        file.write_text(text)
        return read(file)

    return build


def test_an_address_is_enough(settings):
    found = settings(OUTPUT)
    assert [unit.name for unit in found.units] == DEFAULTS
    assert {unit.interval for unit in found.units} == {10.0}
    assert found.tags == {"host": socket.gethostname()}
    assert found.spool.max_size == 200_000_000
    assert str(found.state_dir) == "/var/lib/pantau-agent"


def test_with_collectors_named_only_those_run_each_in_its_own_way(settings):
    found = settings(
        OUTPUT
        + """
        [agent]
        host = "srv-1"
        interval = "30s"
        max_series = 300
        state_dir = "state"
        [tags]
        agency = "dinkes"
        [collectors.mem]
        [collectors.often]
        type = "collectors.host.cpu:Cpu"
        interval = "2s"
        [collectors.disk]
        timeout = "3s"
        max_series = 50
        ignore_fs = ["tmpfs"]
        """
    )
    assert [(unit.name, unit.interval, unit.timeout) for unit in found.units] == [
        ("mem", 30, 10),
        ("often", 2, 2),
        ("disk", 30, 3),
    ]
    assert [unit.max_series for unit in found.units] == [300, 300, 50]
    assert found.tags == {"host": "srv-1", "agency": "dinkes"}
    assert found.state_dir.name == "state"
    assert found.state_dir.is_absolute()


BAD = {
    "nothing": ("", "agent.toml: 'output' is missing in the top level"),
    "unknown table": (
        OUTPUT + "[agnet]\n",
        "agent.toml:3: unknown field 'agnet' in the top level; did you mean 'agent'?",
    ),
    "unknown option": (
        OUTPUT + '[agent]\nintervall = "10s"\n',
        "agent.toml:4: unknown field 'intervall' in [agent]; did you mean 'interval'?",
    ),
    "unknown collector": (OUTPUT + "[collectors.cpuu]\n", "agent.toml:3: unknown collector 'cpuu'; known: "),
    "unknown collector option": (
        OUTPUT + "[collectors.cpu]\npercpuu = true\n",
        "agent.toml:4: unknown field 'percpuu' in [collectors.cpu]",
    ),
    "collector of somebody else": (
        OUTPUT + '[collectors.x]\ntype = "no_such_package:X"\n',
        "agent.toml:3: collector 'no_such_package:X' cannot be loaded",
    ),
    "address": (
        '[output]\nurl = "pantau.example.go.id"\n',
        "agent.toml:2: 'url' in [output]: expected an address such as",
    ),
    "token in the file": (
        OUTPUT + 'token = "s3cret"\n',
        "agent.toml:3: 'token' in [output]: expected where the secret is kept",
    ),
    "interval of nothing": (
        OUTPUT + '[agent]\ninterval = "0s"\n',
        "agent.toml:4: 'interval' in [agent]: expected at least",
    ),
    "own interval of nothing": (
        OUTPUT + '[collectors.cpu]\ninterval = "1ms"\n',
        "agent.toml:4: 'interval' in [collectors.cpu]: expected at least 100ms",
    ),
    "host as a tag": (OUTPUT + '[tags]\nhost = "x"\n', "agent.toml:4: 'host' in [tags]: set it as 'host' in [agent]"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_settings_that_cannot_be_used_are_refused_with_the_place(settings, text, message):
    with pytest.raises(SettingsError) as caught:
        settings(text)
    assert str(caught.value).startswith(message)
    assert "s3cret" not in str(caught.value)


@pytest.fixture
def drop_in(tmp_path):
    def write(name, text):
        (tmp_path / "agent.d").mkdir(exist_ok=True)
        (tmp_path / "agent.d" / name).write_text(text)

    return write


def test_drop_ins_add_collectors_to_the_default_set_and_replace_values_by_name(settings, drop_in):
    drop_in("10-web.toml", "[collectors.nginx]\nurls = ['http://127.0.0.1:81/status']\n")
    drop_in("20-slow.toml", "[agent]\ninterval = '30s'\n[collectors.cpu]\ninterval = '5s'\n")
    drop_in("30-slower.toml", "[agent]\ninterval = '60s'\n[tags]\nagency = 'dinkes'\n")
    drop_in(".hidden.toml", "nonsense")
    drop_in("40-old.toml.bak", "nonsense")
    found = settings(OUTPUT + "[tags]\nsite = 'a'\n")
    assert [unit.name for unit in found.units] == [*DEFAULTS, "nginx"]
    assert {unit.name: unit.interval for unit in found.units}["cpu"] == 5
    assert found.agent.interval == 60
    assert found.tags == {"host": socket.gethostname(), "site": "a", "agency": "dinkes"}


def test_beside_collectors_that_were_named_a_drop_in_adds_one(settings, drop_in):
    drop_in("mem.toml", "[collectors.mem]\n")
    assert [unit.name for unit in settings(OUTPUT + "[collectors.cpu]\n").units] == ["cpu", "mem"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[agent]\n\nintervall = '5s'\n", "web.toml:3: unknown field 'intervall' in [agent]"),
        ("[collectors.nginx]\nurlz = []\n", "web.toml:2: unknown field 'urlz' in [collectors.nginx]"),
        ("[collectors.cpu\n", "web.toml:1: not valid TOML"),
        ("[output]\nurl = 'nowhere'\n", "web.toml:2: 'url' in [output]: expected an address"),
        ("collectors = 3\n", "web.toml:1: 'collectors' in the top level: expected a table"),
    ],
)
def test_what_is_wrong_in_a_drop_in_is_told_with_its_own_name(settings, drop_in, text, message):
    drop_in("web.toml", text)
    with pytest.raises(SettingsError) as caught:
        settings(OUTPUT)
    assert str(caught.value).startswith(message)


def test_the_name_of_the_host_stays_what_the_settings_say(settings, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "renamed")
    assert settings(OUTPUT + "[agent]\nhost = 'srv-1'\n").tags["host"] == "srv-1"
    assert settings(OUTPUT).tags["host"] == "renamed"


@pytest.mark.parametrize("keep", [True, False])
def test_only_the_agent_that_runs_lets_collectors_keep_things_in_its_folder(tmp_path, keep):
    file = tmp_path / "agent.toml"
    file.write_text(
        OUTPUT + '[agent]\nstate_dir = "state"\n[collectors.seen]\ntype = "collectors.host.weblog:Weblog"\n'
    )
    (unit,) = read(file, keep=keep).units
    kept = unit.collector._kept._file
    assert (kept.parent if kept else None) == (tmp_path / "state" if keep else None)
