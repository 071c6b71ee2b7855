"""Lists of services as offices keep them become tables of the register."""

import argparse

import pytest

from configs.read import SettingsError, Source
from server.cli import register as command
from server.inventory import register
from server.inventory.listed import ListError, as_tables, read_list

REGISTER = """
[[agency]]
id = "dinkes"
name = "Dinas Kesehatan"
[[service]]
id = "simpus"
name = "SIMPUS"
agency = "dinkes"
"""


@pytest.fixture
def known(tmp_path):
    return register.read(Source(REGISTER, tmp_path / "services.toml"))


def services(found):
    return {one.id: (one.agency, one.url, one.criticality) for one in found.services}


LISTS = {
    "commas": "nama,opd,url\nPortal Kota,Diskominfo,https://portal.kota.example/\n",
    "semicolons of a spreadsheet": "Nama;OPD;URL\r\nPortal Kota;Diskominfo;https://portal.kota.example/\r\n",
    "tabs": "nama\topd\turl\nPortal Kota\tDiskominfo\thttps://portal.kota.example/\n",
    "other words, more columns": "No,Nama Aplikasi,Instansi,Alamat,PIC\n1,Portal Kota,Diskominfo,portal.kota.example/,Budi\n",
}


@pytest.mark.parametrize("text", LISTS.values(), ids=LISTS)
def test_lists_of_every_shape_say_the_same(known, text):
    found = read_list(text.encode("utf-8-sig"), known)
    assert found.agencies == {"diskominfo": "Diskominfo"}
    assert services(found) == {"portal-kota": ("diskominfo", "https://portal.kota.example/", 3)}


def test_what_is_known_is_left_alone_by_id_and_by_name_and_agencies_are_found_by_either(known):
    text = "id,nama,opd\nsimpus,Yang Lama,dinkes\n,simpus ,x\n,Antrean,DINAS KESEHATAN\n,Stok Obat,dinkes\n"
    found = read_list(text.encode(), known)
    assert found.known == ("Yang Lama", "simpus")
    assert found.agencies == {}
    assert services(found) == {"antrean": ("dinkes", "", 3), "stok-obat": ("dinkes", "", 3)}


def test_ids_are_made_once_each_and_a_name_that_comes_twice_is_one_service(known):
    text = "nama,opd\nSIMPUS!,Dinas A/B\nSimpus?,Dinas A B\nÉlok,Dinas A/B\nélok,Dinas A/B\n"
    found = read_list(text.encode(), known)
    assert [one.id for one in found.services] == ["simpus-2", "simpus-3", "elok"]
    assert found.agencies == {"dinas-a-b": "Dinas A/B", "dinas-a-b-2": "Dinas A B"}


def test_every_fault_is_told_with_its_line_and_nothing_is_taken(known):
    text = 'nama,opd,url,kritikalitas\n,dinkes,,\n"dua\nbaris",,,\nAntrean,dinkes,ftp://x,\nStok,dinkes,,tinggi\n'
    with pytest.raises(ListError) as told:
        read_list(text.encode(), known)
    assert str(told.value).splitlines() == [
        "line 2: name is empty",
        "line 4: agency is empty",
        "line 5: url: expected an address, got 'ftp://x'",
        "line 6: criticality: expected 5 (kritis), 3 (penting) or 1 (pendukung), got 'tinggi'",
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "line 1: expected a heading with a column 'name'"),
        (b"nama,alamat\nx,y\n", "a column 'agency' or 'opd'"),
        (b'nama,opd\n"x,y\n', "line 2: "),
        (b"nama,opd\n\x81\xff,y\n", "neither UTF-8 nor Windows-1252"),
    ],
)
def test_what_is_no_list_is_refused(known, content, told):
    with pytest.raises(ListError) as refused:
        read_list(content, known)
    assert told in str(refused.value)


def test_the_tables_are_read_back_as_they_were_meant(known, tmp_path):
    text = 'nama,opd,url,kritikalitas,dampak\n"Portal ""Kota"" \\ é",Diskominfo,portal.kota.example,Kritis,"Warga\x7f\t…"\n'
    written = as_tables(read_list(text.encode("utf-8"), known))
    whole = register.read(Source(REGISTER + written, tmp_path / "services.toml"))
    portal = whole.services["portal-kota-e"]
    assert (portal.name, portal.url, portal.criticality) == ('Portal "Kota" \\ é', "https://portal.kota.example", 5)
    assert portal.impact == "Warga\x7f\t…"


def test_a_spreadsheet_of_windows_keeps_its_letters(known):
    found = read_list("nama;opd\nPuskesmas Café;Dinkes – Kota\n".encode("cp1252"), known)
    assert found.services[0].name == "Puskesmas Café"
    assert found.agencies == {"dinkes-kota": "Dinkes – Kota"}


@pytest.fixture
def files(tmp_path):
    (tmp_path / "server.toml").write_text(f'[server]\ndata = "{tmp_path}/data"\n')
    (tmp_path / "services.toml").write_text(REGISTER)
    (tmp_path / "services.toml").chmod(0o640)
    (tmp_path / "daftar.csv").write_text("nama,opd\nAntrean,Dukcapil\nSIMPUS,Dinas Kesehatan\n")
    return tmp_path


def run(files, *words):
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers(required=True))
    given = ["register", "add", f"{files}/daftar.csv", "--settings", f"{files}/server.toml", *words]
    arguments = parser.parse_args(given)
    return arguments.run(arguments)


def test_the_command_shows_first_and_writes_when_it_is_told_to_once(files, capsys):
    assert run(files) == 0
    shown = capsys.readouterr()
    assert 'name = "Antrean"' in shown.out
    assert "1 services and 1 agencies would be added" in shown.err
    assert (files / "services.toml").read_text() == REGISTER
    assert run(files, "--yes") == 0
    assert "1 services and 1 agencies added; already there: SIMPUS" in capsys.readouterr().out
    written = register.read(Source.read(files / "services.toml"))
    assert written.services["antrean"].agency == "dukcapil"
    assert (files / "services.toml").stat().st_mode & 0o777 == 0o640
    assert run(files, "--yes") == 0
    assert "nothing new in the list; already there: Antrean, SIMPUS" in capsys.readouterr().out


def test_a_bad_list_changes_nothing_and_says_where(files):
    (files / "daftar.csv").write_text("nama,opd\n,x\ny,\n")
    with pytest.raises(SettingsError) as told:
        run(files, "--yes")
    assert str(told.value) == "daftar.csv: line 2: name is empty\ndaftar.csv: line 3: agency is empty"
    assert (files / "services.toml").read_text() == REGISTER
