import socket

import pytest

from agent.settings import read
from configs.read import SettingsError

OUTPUT = '[output]\nurl = "http://127.0.0.1:8800"\n'
DEFAULTS = ["cpu", "mem", "swap", "disk", "diskio", "net", "system", "processes", "kernel"]


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
