"""Services from a list, as an office keeps one: a CSV file with a heading, turned into tables of the register."""

import csv
import io
import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import Final

import msgspec
from msgspec.structs import asdict

from server.inventory.register import Register

_HEADINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "id": ("id", "kode"),
    "name": ("name", "nama", "aplikasi", "nama aplikasi", "layanan", "nama layanan", "service"),
    "agency": ("agency", "opd", "instansi", "perangkat daerah", "pengelola"),
    "url": ("url", "alamat", "tautan", "link", "domain"),
    "criticality": ("criticality", "kritikalitas", "kekritisan"),
    "impact": ("impact", "dampak"),
}
_NEEDED: Final = ("name", "agency")
_CRITICALITY: Final = {"5": 5, "kritis": 5, "3": 3, "penting": 3, "": 3, "1": 1, "pendukung": 1}
_ENCODINGS: Final = ("utf-8-sig", "cp1252")  # what spreadsheets write


class ListError(ValueError):
    """A list that cannot be read; each line of the message names a line of it and what was expected."""


class Listed(msgspec.Struct, frozen=True):
    """One line of the list; ``line`` is where it stands, ``agency`` the id of its agency."""

    line: int
    id: str
    name: str
    agency: str
    url: str
    criticality: int
    impact: str


class Found(msgspec.Struct, frozen=True):
    """What a list adds to a register: agencies (id: name) and services; ``known`` are names of services that are there already."""

    agencies: dict[str, str]
    services: tuple[Listed, ...]
    known: tuple[str, ...]


def read_list(content: bytes, register: Register) -> Found:
    """Read a CSV file (comma, semicolon or tab; UTF-8 or Windows-1252) with a heading; ListError tells all of its faults.

    A line needs a name and an agency, which is an id or a name, known or new. An ``id`` that is not there is made of the name.
    """
    rows, columns = _rows(_text(content))
    faults: list[str] = []
    agencies: dict[str, str] = {}
    services: list[Listed] = []
    known: list[str] = []
    owners = {_plain(word): one.id for one in register.agencies.values() for word in (one.id, one.name)}
    names = {_plain(one.name) for one in register.services.values()}
    taken = set(register.services)
    for line, row in rows:
        fields = {key: row[at].strip() if at < len(row) else "" for key, at in columns.items()}
        if not any(fields.values()):
            continue
        if wrong := _wrong(fields):
            faults.append(f"line {line}: {wrong}")
            continue
        if fields.get("id", "") in register.services or _plain(fields["name"]) in names:
            known.append(fields["name"])
            continue
        agency = owners.get(_plain(fields["agency"]))
        if agency is None:
            agency = _free(fields["agency"], {*register.agencies, *agencies})
            agencies[agency] = fields["agency"]
            owners[_plain(fields["agency"])] = agency
        service = _free(fields.get("id") or fields["name"], taken)
        taken.add(service)
        names.add(_plain(fields["name"]))
        services.append(
            Listed(
                line=line,
                id=service,
                name=fields["name"],
                agency=agency,
                url=_url(fields.get("url", "")),
                criticality=_CRITICALITY[fields.get("criticality", "").casefold()],
                impact=fields.get("impact", ""),
            )
        )
    if faults:
        raise ListError("\n".join(faults))
    return Found(agencies, tuple(services), tuple(known))


def as_tables(additions: Found) -> str:
    """Return what is new as TOML, to be put at the end of a register."""
    tables = [_table("agency", {"id": key, "name": name}) for key, name in additions.agencies.items()]
    for one in additions.services:
        entry = {key: value for key, value in asdict(one).items() if value and key != "line"}
        tables.append(_table("service", entry))
    return "\n".join(tables)


def _table(kind: str, entry: Mapping[str, str | int]) -> str:
    # TOML's basic strings are JSON's, but for DEL
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in entry.items()]
    return "\n".join([f"[[{kind}]]", *lines, ""]).replace("\x7f", "\\u007f")


def _text(content: bytes) -> str:
    for encoding in _ENCODINGS:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ListError("line 1: the list is neither UTF-8 nor Windows-1252: save it as CSV UTF-8")


def _rows(text: str) -> tuple[Iterable[tuple[int, list[str]]], dict[str, int]]:
    heading = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=heading.count), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise ListError(f"line {reader.line_num}: {error}") from error
    cells = [_plain(cell) for cell in rows[0][1]] if rows else []
    columns = {key: cells.index(word) for key, words in _HEADINGS.items() for word in words[::-1] if word in cells}
    if missing := [key for key in _NEEDED if key not in columns]:
        expected = " and ".join(f"a column {' or '.join(repr(word) for word in _HEADINGS[key])}" for key in missing)
        raise ListError(f"line 1: expected a heading with {expected}, got {', '.join(cells) or 'nothing'}")
    return rows[1:], columns


def _wrong(fields: Mapping[str, str]) -> str:
    for key in _NEEDED:
        if not fields[key]:
            return f"{key} is empty"
    url = fields.get("url", "")
    if url and not re.fullmatch(r"https?://[^/\s]\S*", _url(url)):
        return f"url: expected an address, got {url!r}"
    criticality = fields.get("criticality", "")
    if criticality.casefold() not in _CRITICALITY:
        return f"criticality: expected 5 (kritis), 3 (penting) or 1 (pendukung), got {criticality!r}"
    return ""


def _url(written: str) -> str:
    return written if not written or "://" in written else f"https://{written}"


def _plain(word: str) -> str:
    return " ".join(word.split()).casefold()


def _free(name: str, taken: Collection[str]) -> str:
    """Return an id made of a name: ``Antrean Dukcapil`` -> ``antrean-dukcapil``, with a number where that is taken."""
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().casefold()
    made = re.sub(r"[^a-z0-9.]+", "-", letters).strip("-.")[:90] or "layanan"
    number, free = 1, made
    while free in taken:
        number += 1
        free = f"{made}-{number}"
    return free
