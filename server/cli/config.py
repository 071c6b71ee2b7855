"""``pantau config``: check settings before they are used."""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from configs.place import elsewhere, settings_file
from configs.read import SettingsError, Source
from server import settings
from server.cli import secrets, trouble
from server.cli.options import SETTINGS
from server.inventory import register

_AGENT: Final = "agent.toml"
_AGENT_KEYS = frozenset({"agent", "output", "spool", "collectors", "tags"})
_REGISTER_KEYS = frozenset({"agency", "service", "host", "hours"})


def add(commands: Any) -> None:
    """Add ``config check``."""
    group = commands.add_parser("config", help="check settings")
    verbs = group.add_subparsers(metavar="VERB", required=True)
    check = verbs.add_parser("check", help="say what is wrong in settings files; exit 2 when something is")
    check.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="a server.toml, services.toml or agent.toml (default: those that the commands read)",
    )
    check.add_argument(
        "--secrets",
        action="store_true",
        help="say of each secret whether the service's user can read it, and what mends it; exit 1 when it cannot",
    )
    check.add_argument(
        "--user", metavar="NAME", help="with --secrets: the service's user (default: the owner of `data`)"
    )
    check.set_defaults(run=_check)


def _check(arguments: argparse.Namespace) -> int:
    worst = 0
    for file in arguments.files or _installed():
        try:
            kind = check_file(file, missing="" if arguments.files else elsewhere(file))
        except SettingsError as error:
            print(error, file=sys.stderr)
            worst = trouble.REFUSED
        else:
            print(f"{file}: good {kind} settings")
            if kind == "server" and arguments.secrets and not _secrets_readable(file, arguments.user):
                worst = max(worst, trouble.FAILED)
    return worst


def _secrets_readable(file: Path, user: str | None) -> bool:
    known = settings.read(file)
    who = secrets.service_user(known, user)
    findings = secrets.examine(known.secrets, who)
    for finding in findings:
        print(finding.told(who.name), file=sys.stderr if finding.why else sys.stdout)
    return not any(finding.why for finding in findings)


def _installed() -> list[Path]:
    """Return the settings that commands read when nobody names a file: the centre's, with its register, and an agent's beside it."""
    file = settings_file(None, SETTINGS)
    beside = file.with_name(_AGENT)
    return [file, *([beside] if beside.exists() else [])]


def check_file(file: Path, missing: str = "") -> str:
    """Read a settings file as the program that owns it would; return whose it is. SettingsError says what is wrong.

    ``missing`` is said of a file that is not there.
    """
    source = Source.read(file, missing=missing)
    keys = source.tree.keys()
    if keys & _AGENT_KEYS and not keys & {"server", "store"}:
        _ask_the_agent(file)
        return "agent"
    if keys & _REGISTER_KEYS and not keys - _REGISTER_KEYS:
        register.read(source)
        return "register"
    settings.read(file)
    return "server"


def _ask_the_agent(file: Path) -> None:
    # the centre and the agent do not know each other: the agent itself judges its settings
    command = [sys.executable, "-m", "agent.cli", "--check", "--settings", str(file)]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own program
    if asked.returncode:
        lines = [line.removeprefix("pantau-agent: ") for line in asked.stderr.splitlines()]
        raise SettingsError("\n".join(lines))
