"""Read settings: TOML into frozen msgspec Structs, in two phases, with errors that say where.

Phase one parses the outer file and keeps the tables of plug-ins raw; phase two lets the class that a table's ``type`` picked
parse the rest of its own table (``Source.parse(Options, table, at)``). Unknown keys are refused everywhere.
"""

import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from configs.faults import Faults, Line, SettingsError
from configs.plugin import find
from configs.secret import Secret
from configs.toml_lines import Place, positions
from configs.units import Duration, Flapping, Size

__all__ = ["Faults", "Place", "SettingsError", "Source", "Table", "did_you_mean"]

T = TypeVar("T")
Table = dict[str, Any]

_MSGSPEC_AT: Final = re.compile(r"(?s)(.*?)(?: - at (?:the key in )?`\$(.*)`)?")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`")
_MISSING: Final = re.compile(r"Object missing required field `(.*)`")
_EXPECTED: Final = re.compile(r"Expected `(.*?)`, got `(.*?)`")
_BAD_CHOICE: Final = re.compile(r"Invalid enum value (.*)")
_BAD_TEXT: Final = re.compile(r"Expected `str` matching regex '(.*)'")
_PLAIN: Final[dict[type, Any]] = {
    msgspec.inspect.StrType: str,
    msgspec.inspect.IntType: int,
    msgspec.inspect.FloatType: float,
    msgspec.inspect.BoolType: bool,
}
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_TOML_WORDS: Final = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}


class Source:
    """One TOML file that was read: its tables, and where each key stands; with ``add``, its drop-ins too."""

    def __init__(self, text: str, file: Path) -> None:
        self.file = file
        try:
            self.tree: Table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            where = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
            line = where[1] if where else len(text.splitlines())
            what = re.sub(r"\s*\(at .*\)$", "", str(error))
            at = Line(file.name, int(line))
            raise SettingsError(f"{at}: not valid TOML: {what[:1].lower()}{what[1:]}", at) from error
        self.secrets: dict[Place, Secret] = {}
        self.places = {place: Line(file.name, line) for place, line in positions(text).items()}

    @classmethod
    def read(cls, file: Path | str, missing: str = "") -> "Source":
        """Read a file; SettingsError when it is missing, unreadable, not UTF-8 or not TOML. ``missing`` is said of a missing one."""
        path = Path(file)
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            at = Line(path.name, path.read_bytes()[: error.start].count(b"\n") + 1)
            raise SettingsError(f"{at}: not UTF-8 text", at) from error
        except OSError as error:
            more = missing if isinstance(error, FileNotFoundError) else ""
            raise SettingsError(f"{path}: {error.strerror}{more}", Line(path.name)) from error
        return cls(text, path)

    def add(self, other: "Source") -> None:
        """Let another file add to this one: its tables are joined to ours, its values replace ours."""
        _join(self.tree, other.tree)
        self.places |= other.places

    def parse(
        self,
        shape: type[T],
        table: object = None,
        at: Place = (),
        also: Iterable[str] = (),
        faults: Faults | None = None,
    ) -> T:
        """Turn a table of this file (default: the whole file) into a Struct; ``at`` is its place in the file.

        ``also`` are keys of the same table that another Struct reads, for "did you mean". Knows Duration, Size, Flapping and Secret.
        Raises SettingsError naming file, line, table and what was expected, for every bad key of the table; with ``faults`` they are
        noted there, and what is left of the table is returned if that makes a Struct.
        """
        rest: Any = self.tree if table is None else table
        found, dropped = Faults(), set[Place]()
        while True:
            try:
                parsed = msgspec.convert(rest, shape, dec_hook=self._decode)
                break
            except msgspec.ValidationError as error:
                message, inside = self._narrow(rest, shape, str(error))
                bad = self._explain(message, shape, rest, at, inside, also, dropped, found)
                if not bad or bad in dropped:
                    found.tell()
                    raise
                rest = _without(rest, bad)
                dropped.add(bad)
        with nullcontext() if faults is None else faults.noted():
            found.tell()
        self.secrets |= _secrets(parsed, at)
        return parsed

    def _narrow(self, table: Any, shape: Any, text: str) -> tuple[str, Place]:
        """Split msgspec's message into what and where; it hides keys of free names (``[collectors.cpu]``), found again here."""
        matched = _MSGSPEC_AT.fullmatch(text)
        message, steps = (matched[1], matched[2] or "") if matched else (text, "")
        place: Place = ()
        kind: Any = msgspec.inspect.type_info(shape)
        for key, index in _STEP.findall(steps):
            step = key or (int(index) if index.isdigit() else "...")
            kind = _step(kind, step)
            if step == "...":
                step = next((name for name, value in table.items() if self._refuses(value, kind)), step)
            place = (*place, step)
            table = table[step] if step != "..." else None
        return message, place

    def _refuses(self, value: object, kind: Any) -> bool:
        try:
            msgspec.convert(value, _PLAIN.get(type(kind)) or getattr(kind, "cls", Any), dec_hook=self._decode)
        except msgspec.ValidationError:
            return True
        return False

    def error(self, at: Place, message: str) -> SettingsError:
        """Build an error about the key at ``at``, e.g. ``("check", 2, "url")``, for what only the owner of a setting knows."""
        line = self._line(at)
        return SettingsError(f"{line}: {message}", line)

    def named_secrets(self) -> list[tuple[str, Secret]]:
        """Return every secret that was parsed, in the order of the file, each with the words for where it names it."""
        found = sorted(self.secrets.items(), key=lambda entry: self._line(entry[0]))
        return [(f"{self._line(at)}: {_key(at)}", secret) for at, secret in found]

    def text(self, table: Table, key: str, at: Place) -> str:
        """Return the text that stands under a key; SettingsError when it is missing, empty or something else."""
        value = table.get(key)
        if not isinstance(value, str) or not value:
            raise self.error((*at, key), f"{_entry(at)} needs {key!r}, a string")
        return value

    def plugin(self, kind: str, name: object, plugins: Mapping[str, str], at: Place) -> tuple[Any, Any]:
        """Return the class of a plug-in and its ``Options``, as ``plugin.find`` does; SettingsError about the key at ``at``."""
        try:
            return find(kind, str(name), plugins)
        except ValueError as error:
            raise self.error(at, str(error)) from error

    def tried(self, at: Place, build: Callable[[], T]) -> Callable[[], T]:
        """Return ``build`` after trying it once, so that a bad pattern or address of the table at ``at`` is told with its line."""
        try:
            build()
        except ValueError as error:
            raise self.error(at, f"{_entry(at)}: {error}") from error
        return build

    def by_id(self, shape: type[T], tables: Iterable[Table], at: Place) -> dict[str, T]:
        """Return the tables of a list as Structs by their ``id``; SettingsError when one is bad or an id is there twice."""
        faults = Faults()
        found = self.entries(shape, tables, at, faults)
        faults.tell()
        return {name: entry for name, (_, entry) in found.items()}

    def entries(self, shape: type[T], tables: Iterable[Table], at: Place, faults: Faults) -> dict[str, tuple[Place, T]]:
        """Return the good ones of a list of tables by their ``id``, each with its place; what is wrong with others is noted."""
        found: dict[str, tuple[Place, T]] = {}
        for position, table in enumerate(tables):
            place = (*at, position)
            with faults.noted():
                entry = self.parse(shape, table, place)
                name = str(getattr(entry, "id"))  # noqa: B009 - not every Struct has one
                if name in found:
                    raise self.error((*place, "id"), f"{at[-1]} id {name!r} is used twice")
                found[name] = (place, entry)
        return found

    def declared(self, *path: str, key: str = "id") -> list[str]:
        """Return what the tables of a list are called, also of those with faults: who names one of them is not to blame."""
        tables: object = self.tree
        for step in path:
            tables = tables.get(step) if isinstance(tables, dict) else None
        entries = tables if isinstance(tables, list) else []
        return [entry[key] for entry in entries if isinstance(entry, dict) and isinstance(entry.get(key), str)]

    def _decode(self, kind: type, value: object) -> object:
        if kind is Duration:
            return Duration.parse(value)
        if kind is Size:
            return Size.parse(value)
        if kind is Flapping:
            return Flapping.parse(value)
        if kind is Secret:
            return Secret.parse(value, self.file.parent)
        raise NotImplementedError(kind)

    def _explain(
        self,
        message: str,
        shape: Any,
        table: Any,
        at: Place,
        inside: Place,
        also: Iterable[str],
        dropped: Collection[Place],
        faults: Faults,
    ) -> Place:
        """Note what is wrong at a place; return the key without which the rest can be read, () when nothing can be left out."""
        where = at + inside
        if unknown := _UNKNOWN.fullmatch(message):
            faults.add(self._unknown(unknown[1], shape, at, inside, also))
            return (*inside, unknown[1])
        if _MISSING.fullmatch(message):
            for name in _missing(shape, table, inside):
                if (*inside, name) not in dropped:
                    faults.add(self.error(where, f"{name!r} is missing in {_table(where)}"))
        elif not any(place[: len(inside)] == inside for place in dropped):  # else a table complains of what we left out
            faults.add(self._bad_value(message, shape, at, inside))
        while inside and not isinstance(inside[-1], str):
            inside = inside[:-1]
        return () if "..." in inside else inside

    def _unknown(self, name: str, shape: Any, at: Place, inside: Place, also: Iterable[str]) -> SettingsError:
        where = at + inside
        hint = did_you_mean(name, [*_fields(shape, inside), *also])
        return self.error((*where, name), f"unknown field {name!r} in {_table(where)}{hint}")

    def _bad_value(self, message: str, shape: Any, at: Place, inside: Place) -> SettingsError:
        where = at + inside
        if not inside:  # the table as a whole, by its own __post_init__
            return self.error(at, f"{_table(at)}: {message}")
        if bad_choice := _BAD_CHOICE.fullmatch(message):
            choices = ", ".join(repr(choice) for choice in _choices(shape, inside))
            message = f"expected one of {choices}, got {bad_choice[1]}"
        elif bad_text := _BAD_TEXT.fullmatch(message):
            message = f"expected a text like {bad_text[1]}"
        elif expected := _EXPECTED.fullmatch(message):
            wanted = " or ".join(_TOML_WORDS.get(word, word) for word in expected[1].split(" | ") if word != "null")
            message = f"expected {wanted}, got {_TOML_WORDS.get(expected[2], expected[2])}"
        return self.error(where, f"{_key(where)}: {message[:1].lower()}{message[1:]}")

    def _line(self, at: Place) -> Line:
        while at:
            if at in self.places:
                return self.places[at]
            at = at[:-1]
        return Line(self.file.name)


def _entry(at: Place) -> str:
    """Return the words for one table of a list, e.g. ``[[channel]] #2``."""
    return f"[[{at[0]}]] #{int(at[1]) + 1 if len(at) > 1 else 1}"


def did_you_mean(name: str, known_names: Collection[str]) -> str:
    """Return the end of an error about an unknown name: which known one was meant, "" when none is like it.

    What stands before a slash (``rule/``) is forgotten most easily.
    """
    from difflib import get_close_matches  # noqa: PLC0415 - of use only here, and heavy for an agent

    close = [one for one in known_names if one.endswith(f"/{name}")] or get_close_matches(name, known_names, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _join(table: Table, more: Table) -> None:
    for name, value in more.items():
        ours = table.get(name)
        if isinstance(ours, dict) and isinstance(value, dict):
            _join(ours, value)
        else:
            table[name] = value


def _table(at: Place) -> str:
    """Name a table as its file does: ``[agent]``, ``[[check]] #3``, ``the top level``."""
    if not at:
        return "the top level"
    name = ".".join(str(step) for step in at if not isinstance(step, int))
    last = next((step for step in reversed(at) if isinstance(step, int)), None)
    return f"[{name}]" if last is None else f"[[{name}]] #{last + 1}"


def _secrets(value: object, at: Place) -> dict[Place, Secret]:
    """Return every secret within what was parsed, by its place in the file."""
    inside: Iterable[tuple[str | int, object]] = ()
    if isinstance(value, Secret):
        return {at: value}
    if isinstance(value, msgspec.Struct):
        names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        inside = [(name, getattr(value, field)) for name, field in names]
    elif isinstance(value, Mapping):
        inside = value.items()
    elif isinstance(value, (list, tuple)):
        inside = enumerate(value)
    return {place: secret for step, one in inside for place, secret in _secrets(one, (*at, step)).items()}


def _key(at: Place) -> str:
    """Name a key with its table, or an entry of a list."""
    return f"{at[-1]!r} in {_table(at[:-1])}" if isinstance(at[-1], str) else _table(at)


def _fields(shape: Any, inside: Place) -> list[str]:
    """List the settings' names of the Struct that ``inside`` leads to from ``shape``."""
    return [field.encode_name for field in _struct(shape, inside)]


def _missing(shape: Any, table: Any, inside: Place) -> list[str]:
    """List the settings that the Struct at ``inside`` requires and the table there has not."""
    for step in inside:
        table = table[step]
    return [field.encode_name for field in _struct(shape, inside) if field.required and field.encode_name not in table]


def _struct(shape: Any, inside: Place) -> Sequence[Any]:
    kind: Any = msgspec.inspect.type_info(shape)
    for step in inside:
        kind = _step(kind, step)
    for option in getattr(kind, "types", (kind,)):
        if isinstance(option, msgspec.inspect.StructType):
            return option.fields
    return ()


def _without(table: Any, place: Place) -> Any:
    """Return a copy of a table that lacks the key at a place."""
    step, *rest = place
    if not rest:
        return {name: value for name, value in table.items() if name != step}
    inner = _without(table[step], tuple(rest))
    if isinstance(step, int):
        return [*table[:step], inner, *table[step + 1 :]]
    return {**table, step: inner}


def _choices(shape: Any, inside: Place) -> list[Any]:
    """List what a setting may be, where only some values are allowed."""
    kind: Any = msgspec.inspect.type_info(shape)
    for step in inside:
        kind = _step(kind, step)
    return [
        value
        for option in getattr(kind, "types", (kind,))
        if isinstance(option, msgspec.inspect.LiteralType)
        for value in option.values
    ]


def _step(kind: Any, step: str | int) -> Any:
    for option in getattr(kind, "types", (kind,)):
        if isinstance(option, msgspec.inspect.StructType):
            for field in option.fields:
                if field.encode_name == step:
                    return field.type
        if isinstance(option, msgspec.inspect.DictType):
            return option.value_type
        if isinstance(option, (msgspec.inspect.ListType, msgspec.inspect.VarTupleType)):
            return option.item_type
    return None
