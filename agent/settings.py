"""The file agent.toml and its drop-ins: read, checked, and turned into collectors that are ready to run."""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from agent.gather import MAX_SERIES, Unit
from agent.post import Options as Output
from agent.post import why_not_url
from agent.spool import Options as Bounds
from collectors.host import COLLECTORS, DEFAULT, Roots
from configs.place import elsewhere
from configs.plugin import find
from configs.read import Faults, Source
from configs.units import Duration

_LONGEST_DEADLINE: Final = 10.0
_SHORTEST_INTERVAL: Final = 0.1
_RESERVED_TAG: Final = "host"


Count = Annotated[int, msgspec.Meta(ge=1)]


class Agent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The agent as such. ``internal`` is how often it reports about itself; ``host`` defaults to this machine's name.

    ``max_series`` is how many series one collector may make within an hour; new ones beyond it are left out and counted.
    """

    interval: Duration = Duration(10)
    host: str = ""
    state_dir: str = "/var/lib/pantau-agent"
    internal: Duration = Duration(60)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    max_series: Count = MAX_SERIES


class Common(msgspec.Struct, frozen=True):
    """What every ``[collectors.NAME]`` may say; the rest of the table belongs to the collector's own Options."""

    type: str = ""
    interval: Duration | None = None
    timeout: Duration | None = None
    max_series: Count | None = None


class Outer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file as it is written, with the tables of collectors still raw."""

    output: Output
    agent: Agent = Agent()
    tags: dict[str, str] = {}
    spool: Bounds = Bounds()
    collectors: dict[str, dict[str, Any]] | None = None


class Settings(msgspec.Struct, frozen=True):
    """Everything that an agent needs. ``tags`` hold the host's name."""

    agent: Agent
    state_dir: Path
    tags: Mapping[str, str]
    output: Output
    spool: Bounds
    units: tuple[Unit, ...]


def read(file: Path | str, roots: Roots = Roots(), *, keep: bool = False) -> Settings:  # noqa: B008 - frozen
    """Read a settings file with its drop-ins and build its collectors, which touches nothing else; raises SettingsError.

    With ``keep`` collectors may keep things in the state folder, as those of the one agent that runs do.

    Drop-ins of ``agent.toml`` are ``agent.d/*.toml`` beside it, by name: a later one adds to and replaces what was said before.
    """
    source = _source(Path(file))
    faults = Faults()
    outer = source.parse(Outer, faults=faults)
    if wrong := why_not_url(outer.output.url):
        faults.add(source.error(("output", "url"), f"'url' in [output]: {wrong}"))
    if _RESERVED_TAG in outer.tags:
        faults.add(source.error(("tags", _RESERVED_TAG), "'host' in [tags]: set it as 'host' in [agent]"))
    for table, interval in (("agent", outer.agent.interval), ("output", outer.output.interval)):
        with faults.noted():
            _check_interval(source, (table, "interval"), interval)
    folder = source.file.parent
    output = outer.output
    if output.ca:
        output = msgspec.structs.replace(output, ca=str(folder / output.ca))
    tables = {name: {} for name in DEFAULT} if outer.collectors is None else outer.collectors
    if keep:
        roots = msgspec.structs.replace(roots, state=str(folder / outer.agent.state_dir))
    units: list[Unit] = []
    for name, table_of_one in tables.items():
        with faults.noted():
            units.append(_unit(source, name, table_of_one, outer.agent, roots))
    faults.tell()
    return Settings(
        agent=outer.agent,
        state_dir=folder / outer.agent.state_dir,
        tags={_RESERVED_TAG: outer.agent.host or socket.gethostname(), **outer.tags},
        output=output,
        spool=outer.spool,
        units=tuple(units),
    )


def _source(file: Path) -> Source:
    source = Source.read(file, missing=elsewhere(file))
    for drop_in in sorted(file.with_suffix(".d").glob("[!.]*.toml")):
        source.tree.setdefault("collectors", {name: {} for name in DEFAULT})  # a drop-in adds to the default set
        source.add(Source.read(drop_in))
    return source


def _unit(source: Source, name: str, table: dict[str, Any], agent: Agent, roots: Roots) -> Unit:
    at = ("collectors", name)
    own = {key: value for key, value in table.items() if key not in Common.__struct_fields__}
    faults = Faults()
    common = source.parse(Common, {key: value for key, value in table.items() if key not in own}, at, faults=faults)
    try:
        kind, options = find("collector", common.type or name, COLLECTORS)
    except ValueError as error:
        raise source.error(at, str(error)) from error
    interval = agent.interval if common.interval is None else common.interval
    if common.interval is not None:  # else it is told where it is written
        with faults.noted():
            _check_interval(source, (*at, "interval"), interval)
    with faults.noted():
        chosen = source.parse(options, own, at)
    faults.tell()
    return Unit(
        name=name,
        collector=kind(chosen, roots),
        interval=interval,
        timeout=common.timeout or min(interval, _LONGEST_DEADLINE),
        max_series=common.max_series or agent.max_series,
    )


def _check_interval(source: Source, at: tuple[str, ...], interval: float) -> None:
    if interval < _SHORTEST_INTERVAL:
        table = ".".join(at[:-1])
        raise source.error(at, f"{at[-1]!r} in [{table}]: expected at least 100ms")
