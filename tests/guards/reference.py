"""Writes docs/settings.md from the classes of the settings themselves, so that no option stays undocumented."""

import inspect
import sys
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))

from agent import settings as agent
from alerts.channels import CHANNELS
from alerts.route import Contact, Route
from alerts.rules import RULES
from alerts.rules.planned import RuleTable
from collectors.checks import CHECKS
from collectors.host import COLLECTORS
from collectors.snmp import Options as Device
from configs.plugin import find
from configs.secret import Secret
from configs.units import Duration, Flapping, Size
from server import settings
from server.calendar.service_hours import Profile
from server.edge.connections import Options as Connections
from server.ingest.options import Options as Ingest
from server.inventory import register
from server.store import STORES
from server.store.buckets import Options as Bucket
from server.watching.expected_backups import Options as Backup
from server.watching.options import Options as Schedule
from server.watching.planned_checks import CheckTable

WORDS = {
    "IntType": "whole number",
    "FloatType": "number",
    "StrType": "text",
    "BoolType": "true or false",
    "DateType": "date",
    "AnyType": "any value",
    "NoneType": "nothing",
}
HEADED = frozenset({Connections})  # tables that have a heading of their own


def kind_words(kind):
    """Say in words what a setting takes."""
    own = getattr(kind, "cls", None)
    if own in {Duration, Size, Flapping, Secret}:
        return {
            Duration: 'duration ("10s")',
            Size: 'size ("64MB")',
            Flapping: 'changes and duration (`[4, "30m"]`)',
            Secret: "secret (`{ file = … }` or another place)",
        }[own]
    name = type(kind).__name__
    if name == "UnionType":
        return " or ".join(words for option in kind.types if (words := kind_words(option)) != "nothing")
    if name == "LiteralType":
        return ", ".join(f"`{value}`" for value in kind.values)
    if name in {"ListType", "VarTupleType", "SetType", "FrozenSetType"}:
        return f"list of {kind_words(kind.item_type)}"
    if name == "TupleType":
        return "list of " + ", ".join(kind_words(item) for item in kind.item_types)
    if name == "DictType":
        return f"table of {kind_words(kind.value_type)}"
    if name == "StructType":
        return f"table (see {kind.cls.__name__})"
    return WORDS.get(name, name)


def default_words(field):
    """Say what holds when a setting is not written."""
    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if isinstance(value, Duration):
        return f"{float(value):g} s"
    if isinstance(value, Size):
        return f"{int(value):,} bytes"
    if isinstance(value, Flapping):
        changes, within = value
        return f"{changes} in {within:g} s"
    if value in (None, "", [], {}, ()) and value is not False and value != 0:
        return "none"
    if isinstance(value, msgspec.Struct):
        return "as below"
    if isinstance(value, (set, frozenset)):
        value = sorted(value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def tables_within(kind):
    """Yield the classes of the tables that a setting takes, itself or in lists, tables and alternatives."""
    if type(kind).__name__ == "StructType" and kind.cls not in HEADED:
        yield kind.cls
    inner = (getattr(kind, name, None) for name in ("item_type", "value_type"))
    for one in (*getattr(kind, "types", ()), *(one for one in inner if one is not None)):
        yield from tables_within(one)


def section(title, shape, level=3):
    """One table of settings as Markdown, and those within it."""
    lines = [f"{'#' * level} {title}", "", inspect.cleandoc(shape.__doc__ or ""), ""]
    fields = msgspec.inspect.type_info(shape).fields
    if fields:
        lines += ["| key | takes | default |", "|---|---|---|"]
        lines += [f"| `{field.encode_name}` | {kind_words(field.type)} | {default_words(field)} |" for field in fields]
        lines.append("")
    for within in dict.fromkeys(one for field in fields for one in tables_within(field.type)):
        lines += section(within.__name__, within, level + 1)
    return lines


def document():
    """The whole reference."""
    lines = [
        "# Settings",
        "",
        "Made by `make docs` from the classes that read them. Examples to copy stand in `configs/`.",
        "Durations are written `250ms`, `10s`, `5m`, `1h30m`, `7d`; sizes `512KB`, `64MiB`. A secret is never written in the",
        'settings themselves: `{ file = "PATH" }`, `{ credential = "NAME" }` (systemd) or `{ env = "NAME" }` says where it is kept.',
        "Unknown keys are refused. Check files with `pantau config check FILE…` and `pantau-agent --test`.",
        "",
        "## agent.toml",
        "",
    ]
    for title, shape in {"[agent]": agent.Agent, "[output]": agent.Output, "[spool]": agent.Bounds}.items():
        lines += section(title, shape)
    lines += section("[collectors.NAME], any", agent.Common)
    for name in COLLECTORS:
        lines += section(f"[collectors.{name}]", find("collector", name, COLLECTORS)[1])
    lines += ["## server.toml", ""]
    lines += section("[server]", settings.General)
    lines += section("[server.connections]", Connections)
    lines += section("[ingest]", Ingest)
    lines += section("[schedule]", Schedule)
    lines += section("[backup]", Backup)
    lines += section("[[bucket]]", Bucket)
    for name in STORES:
        lines += section(f'[store] type = "{name}"', find("store", name, STORES)[1])
    lines += section("[[check]]", CheckTable)
    for name in CHECKS:
        lines += section(f'[[check]] type = "{name}"', find("check", name, CHECKS)[1])
    lines += section("[[rule]]", RuleTable)
    for name in RULES:
        lines += section(f'[[rule]] type = "{name}"', find("rule", name, RULES)[1])
    lines += section("[[snmp.device]]", Device)
    for name in CHANNELS:
        lines += section(f'[[channel]] type = "{name}"', find("channel", name, CHANNELS)[1])
    lines += section("[[contact]]", Contact)
    lines += section("[[route]]", Route)
    lines += ["## services.toml", ""]
    for title, shape in {
        "[[agency]]": register.Agency,
        "[[service]]": register.Service,
        "[[host]]": register.Host,
        "[hours.NAME]": Profile,
    }.items():
        lines += section(title, shape)
    return "\n".join(lines).replace("``", "`").rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
