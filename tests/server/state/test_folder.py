"""The data folder is its owner's only."""

import os

import pytest

from configs.read import SettingsError
from server.cli.main import main
from server.state.folder import private_folder


def mode(folder):
    return folder.stat().st_mode & 0o777


def test_it_is_made_private_from_the_beginning(tmp_path):
    private_folder(tmp_path / "a/b")
    assert mode(tmp_path / "a/b") == 0o700


@pytest.mark.parametrize("before", [0o755, 0o750, 0o701, 0o770])
def test_one_of_ours_that_others_may_enter_is_made_private_and_that_is_told(tmp_path, caplog, before):
    tmp_path.chmod(before)
    private_folder(tmp_path)
    assert mode(tmp_path) == 0o700
    assert f"others could enter {tmp_path}" in caplog.text
    caplog.clear()
    private_folder(tmp_path)
    assert caplog.text == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_one_of_somebody_else_is_refused_when_others_may_enter_it_and_else_used(tmp_path):
    os.chown(tmp_path, 12345, 12345)
    tmp_path.chmod(0o755)
    with pytest.raises(SettingsError, match=f"{tmp_path} belongs to user 12345 .*chmod 700 {tmp_path}"):
        private_folder(tmp_path)
    assert mode(tmp_path) == 0o755
    tmp_path.chmod(0o700)
    private_folder(tmp_path)


def settings(folder):
    (folder / "services.toml").write_text('[[agency]]\nid = "kominfo"\nname = "Dinas Kominfo"\n')
    (folder / "server.toml").write_text('[server]\ndata = "data"\n')
    (folder / "data").mkdir()
    (folder / "data").chmod(0o755)
    return str(folder / "server.toml")


def test_a_command_makes_it_private_too(tmp_path):
    assert main(["enrol", "new", "--settings", settings(tmp_path)]) == 0
    assert mode(tmp_path / "data") == 0o700
