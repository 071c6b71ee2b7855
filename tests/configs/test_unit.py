"""What the centre's unit hands over is found by commands that a person types beside it."""

import pytest

from configs.secret import Secret, SecretUnreadable
from configs.unit import UNIT, credential_file, has_variable


@pytest.fixture
def root(tmp_path):
    (tmp_path / "etc/systemd/system" / f"{UNIT}.d").mkdir(parents=True)
    (tmp_path / "usr/lib/systemd/system" / f"{UNIT}.d").mkdir(parents=True)
    (tmp_path / "usr/lib/systemd/system" / UNIT).write_text("[Service]\nLoadCredential=token:/etc/pantau/token\n")
    return tmp_path


def file_of(name, root, **environment):
    found = credential_file(name, environment, root)
    return found and str(found.relative_to(root))


def drop_in(root, name, text, folder="etc"):
    (root / folder / "systemd/system" / f"{UNIT}.d" / name).write_text(f"[Service]\n{text}\n")


def test_a_process_of_the_unit_takes_its_own(root):
    assert credential_file("token", {"CREDENTIALS_DIRECTORY": "/run/own"}, root).as_posix() == "/run/own/token"


def test_what_the_running_unit_has_comes_before_what_it_is_made_from(root):
    assert file_of("token", root) == "etc/pantau/token"
    running = root / "run/credentials" / UNIT
    running.mkdir(parents=True)
    (running / "token").write_text("made-up")
    assert file_of("token", root) == f"run/credentials/{UNIT}/token"


def test_the_last_word_of_the_drop_ins_counts(root):
    drop_in(root, "10-a.conf", "LoadCredential=token:/etc/a\nLoadCredential=mail:/etc/mail")
    drop_in(root, "20-b.conf", "LoadCredential = token:/etc/b", "usr/lib")
    assert (file_of("token", root), file_of("mail", root)) == ("etc/b", "etc/mail")
    drop_in(root, "20-b.conf", "LoadCredential=")  # of that name only the one of the administrator
    assert (file_of("token", root), file_of("mail", root)) == (None, None)


def test_a_unit_of_the_administrator_stands_for_the_package_s(root):
    (root / "etc/systemd/system" / UNIT).write_text("[Service]\nLoadCredential=other:/etc/other\n")
    assert (file_of("token", root), file_of("other", root)) == (None, "etc/other")


def test_a_credential_without_a_path_is_in_the_store_of_credentials(root):
    drop_in(root, "10-a.conf", "LoadCredential=mail")
    assert file_of("mail", root) is None
    (root / "run/credstore").mkdir(parents=True)
    (root / "run/credstore/mail").touch()
    assert file_of("mail", root) == "run/credstore/mail"


def test_variables_are_those_of_lines_and_files(root):
    (root / "environment").write_text("MAIL=x\n# OTHER=1\n")
    drop_in(
        root, "10-a.conf", 'Environment="TOKEN=a b" ZONE=x\nEnvironmentFile=-/environment\nEnvironmentFile=/nowhere'
    )
    assert [has_variable(name, root) for name in ("TOKEN", "ZONE", "MAIL", "OTHER", "TOK")] == [True] * 3 + [False] * 2


def test_a_credential_that_nothing_hands_over_says_what_would(monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(SecretUnreadable, match="nor a line LoadCredential=nirgends:PATH of it"):
        Secret("credential", "nirgends").reveal()
