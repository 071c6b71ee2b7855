"""Each file of tests/bad_configs gives exactly the message of its last comment line (``#! ...``)."""

from pathlib import Path

import pytest

from configs.read import SettingsError
from server.cli.config import check_file

FOLDER = Path(__file__).parents[1] / "bad_configs"
FILES = sorted(file for file in FOLDER.glob("*.toml") if file.name != "services.toml")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_bad_file_is_refused_with_exactly_this_message(file, monkeypatch):
    monkeypatch.chdir(FOLDER)
    expected = file.read_text(encoding="utf-8").rstrip().rpartition("#! ")[2]
    with pytest.raises(SettingsError) as caught:
        check_file(Path(file.name))
    assert str(caught.value) == expected


def test_the_examples_that_users_copy_are_good(monkeypatch):
    import configs

    examples = Path(configs.__file__).parent
    kinds = {name: check_file(examples / name) for name in ("agent.toml", "server.toml", "services.toml")}
    assert kinds == {"agent.toml": "agent", "server.toml": "server", "services.toml": "register"}
