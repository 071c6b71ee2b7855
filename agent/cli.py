"""``pantau-agent``: the daemon, three ways to try it out, and the commands ``join`` and ``doctor``."""

import argparse
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from agent.slim import without_heavy_modules
from agent.version import VERSION
from configs.place import SYSTEM, VARIABLE, settings_file

if TYPE_CHECKING:
    from agent.settings import Settings

_FAILED: Final = 1
_BAD: Final = 2
_FILE: Final = "agent.toml"
_WIDTH: Final = 100
_EXAMPLES: Final = """\
examples:
  pantau-agent join https://pantau.kota.example
      join the centre; asks for the one-time token
  pantau-agent --test
      what would be sent, shown
  pantau-agent doctor --lang en
      what is not collected or sent, and the command that mends it
"""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help of a fixed width: to ask the terminal for its own would load shutil and its compressors, 0.4 MB."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_WIDTH)


def main() -> NoReturn:
    """Run the command and end the process at once: a thread that hangs in the kernel must not hold up the end."""
    code: int = _FAILED
    try:
        code = run(sys.argv[1:])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else _FAILED
    except Exception:  # noqa: BLE001 - shown as it is
        traceback.print_exc()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def parser() -> argparse.ArgumentParser:
    """Return the whole command line: help, manual page and completion are made of it."""
    told = "Collects this host's figures and sends them."
    whole = argparse.ArgumentParser(prog="pantau-agent", description=told, epilog=_EXAMPLES, formatter_class=_Help)
    where = f"default: ${VARIABLE} (a file, or its folder), else {SYSTEM / _FILE}, else ./{_FILE}"
    whole.add_argument("--settings", type=Path, metavar="FILE", help=where)
    whole.add_argument("--version", action="version", version=f"pantau-agent {VERSION}")
    modes = whole.add_mutually_exclusive_group()
    modes.add_argument("--check", action="store_true", help="read the settings, say whether they can be used, and stop")
    modes.add_argument("--test", action="store_true", help="collect twice, a second apart, and print; send nothing")
    modes.add_argument("--once", action="store_true", help="collect and send once, without the spool")
    _add_commands(whole)
    return whole


def run(arguments: Sequence[str]) -> int:
    """Do what the arguments say; return 0, 1 (something could not be collected or sent) or 2 (wrong settings or use)."""
    chosen = parser().parse_args(arguments)
    chosen.settings = settings_file(chosen.settings, _FILE, make=chosen.command == "join")
    hangups: list[int] = []
    if not (chosen.command or chosen.check or chosen.test or chosen.once):
        signal.signal(signal.SIGHUP, lambda number, _: hangups.append(number))  # else one during the start would end it
    # what systemd hands over to the service is kept beside the settings, for who calls us without systemd
    os.environ.setdefault("CREDENTIALS_DIRECTORY", str(chosen.settings.absolute().parent))
    with without_heavy_modules(os.environ):
        from agent import app, daemon, settings  # noqa: PLC0415 - what they import is to be kept small
        from configs.read import SettingsError  # noqa: PLC0415 - the same
    try:
        if chosen.command == "join":
            return _join(chosen)
        if chosen.command == "doctor":
            return _doctor(chosen)
        found = settings.read(chosen.settings, keep=not (chosen.check or chosen.test or chosen.once))
        if chosen.check:
            print(f"{chosen.settings}: can be used; {len(found.units)} collectors: {_names(found)}")
            return 0
        daemon.set_up_log(os.environ, found.agent.log_level)
        if chosen.test or chosen.once:
            return _try_out(found, send=chosen.once)
        app.serve(found, lambda: settings.read(chosen.settings, keep=True), os.environ, hangups)
    except (SettingsError, daemon.Occupied) as error:
        print("\n".join(f"pantau-agent: {line}" for line in str(error).splitlines()), file=sys.stderr)
        return _BAD
    return 0


def _add_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", metavar="join | doctor", title="commands")
    told = "exchange a one-time token for a token of this host's own"
    join = commands.add_parser("join", help=told, description=told.capitalize() + ".", formatter_class=_Help)
    join.add_argument("url", nargs="?", default="", metavar="URL", help="the centre; left out: as in the settings")
    # a command line can be read by every user of the machine, and stays in the shell's history
    join.add_argument(
        "token",
        nargs="?",
        default="",
        metavar="TOKEN",
        help="better left out: it is then read from --token-file, $PANTAU_JOIN_TOKEN or standard input, or asked for",
    )
    join.add_argument("--token-file", type=Path, metavar="FILE", help="a file that holds the one-time token")
    join.add_argument("--host", default="", metavar="NAME", help="the name of this host (default: the machine's own)")
    join.add_argument(
        "--ca", default="", metavar="FILE", help="certificates to trust, for a centre with its own authority"
    )
    join.add_argument("--renew", action="store_true", help="join afresh, though this host has a token already")
    told = "say what is not collected or sent, why, and the command that mends it"
    doctor = commands.add_parser("doctor", help=told, description=told.capitalize() + ".", formatter_class=_Help)
    doctor.add_argument("--lang", choices=["id", "en"], default="id", help="Indonesian (default) or English")
    for command in (join, doctor):
        command.add_argument("--settings", type=Path, default=argparse.SUPPRESS, metavar="FILE")


def _join(chosen: argparse.Namespace) -> int:
    from agent.join import NotJoined, Wanted, join  # noqa: PLC0415 - of use only here
    from agent.one_time_token import TokenUnreadable, one_time_token  # noqa: PLC0415 - the same

    url, shown = chosen.url, chosen.token
    if url and not shown and "://" not in url:
        url, shown = "", url
    try:
        token = one_time_token(shown, chosen.token_file, os.environ)
    except TokenUnreadable as error:
        print(f"pantau-agent: {error}", file=sys.stderr)
        return _BAD
    try:
        told = join(chosen.settings, Wanted(url, token, chosen.host, chosen.ca, chosen.renew))
    except NotJoined as error:
        print(f"pantau-agent: {error}", file=sys.stderr)
        return _FAILED
    print("\n".join(told))
    if shown:
        print("the one-time token stood on the command line, where other users can read it; next time leave it out")
    return 0


def _doctor(chosen: argparse.Namespace) -> int:
    from agent.doctor import become_service, examine  # noqa: PLC0415 - of use only here
    from agent.findings import tell  # noqa: PLC0415 - the same

    worst = 0
    for finding in examine(chosen.settings, become_service):
        print(tell(finding, chosen.lang), flush=True)
        if finding.level == "bad":
            worst = _BAD if finding.what.startswith("settings") else max(worst, _FAILED)
    return worst


def _try_out(found: "Settings", *, send: bool) -> int:
    from agent import app  # noqa: PLC0415 - run has imported it
    from configs.terminal import shown  # noqa: PLC0415 - the same

    lines, failures = app.collect_once(found)
    for failure in failures:
        print(f"pantau-agent: {shown(failure)}", file=sys.stderr)
    if not send:
        sys.stdout.writelines(line.decode() + "\n" for line in lines)
        return _FAILED if failures else 0
    outcome = app.send_once(found, lines)
    refused = [f"{why}: {line.decode()}" for line, why in outcome.poison]
    why = [outcome.pause.why] if outcome.pause else []
    for complaint in (*why, outcome.complaint, *refused):
        if complaint:
            print(f"pantau-agent: {found.output.url}: {shown(complaint)}", file=sys.stderr)
    done = len(lines) - len(outcome.rest) - len(outcome.poison) - outcome.rejected
    print(f"{done} of {len(lines)} lines delivered to {found.output.url}")
    return 0 if done == len(lines) and not failures else _FAILED


def _names(found: "Settings") -> str:
    return ", ".join(unit.name for unit in found.units)


if __name__ == "__main__":
    main()
