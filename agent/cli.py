"""``pantau-agent``: the daemon, and three ways to try it out."""

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from agent.slim import without_heavy_modules
from agent.version import VERSION

if TYPE_CHECKING:
    from agent.settings import Settings

_FAILED: Final = 1
_BAD: Final = 2


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


def run(arguments: Sequence[str]) -> int:
    """Do what the arguments say; return 0, 1 (something could not be collected or sent) or 2 (wrong settings or use)."""
    parser = argparse.ArgumentParser(prog="pantau-agent", description="Collects this host's figures and sends them.")
    parser.add_argument("--settings", type=Path, default=Path("/etc/pantau/agent.toml"), metavar="FILE")
    parser.add_argument("--version", action="version", version=f"pantau-agent {VERSION}")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--check", action="store_true", help="read the settings, say whether they can be used, and stop")
    modes.add_argument("--test", action="store_true", help="collect twice, a second apart, and print; send nothing")
    modes.add_argument("--once", action="store_true", help="collect and send once, without the spool")
    chosen = parser.parse_args(arguments)
    with without_heavy_modules(os.environ):
        from agent import app, daemon, settings  # noqa: PLC0415 - what they import is to be kept small
        from configs.read import SettingsError  # noqa: PLC0415 - the same
    try:
        found = settings.read(chosen.settings)
        if chosen.check:
            print(f"{chosen.settings}: can be used; {len(found.units)} collectors: {_names(found)}")
            return 0
        daemon.set_up_log(os.environ, found.agent.log_level)
        if chosen.test or chosen.once:
            return _try_out(found, send=chosen.once)
        app.serve(found, lambda: settings.read(chosen.settings), os.environ)
    except (SettingsError, daemon.Occupied) as error:
        print(f"pantau-agent: {error}", file=sys.stderr)
        return _BAD
    return 0


def _try_out(found: "Settings", *, send: bool) -> int:
    from agent import app  # noqa: PLC0415 - run has imported it

    lines, failures = app.collect_once(found)
    for failure in failures:
        print(f"pantau-agent: {failure}", file=sys.stderr)
    if not send:
        sys.stdout.writelines(line.decode() + "\n" for line in lines)
        return _FAILED if failures else 0
    outcome = app.send_once(found, lines)
    refused = [f"{why}: {line.decode()}" for line, why in outcome.poison]
    why = [outcome.pause.why] if outcome.pause else []
    for complaint in (*why, outcome.complaint, *refused):
        if complaint:
            print(f"pantau-agent: {found.output.url}: {complaint}", file=sys.stderr)
    done = len(lines) - len(outcome.rest) - len(outcome.poison) - outcome.rejected
    print(f"{done} of {len(lines)} lines delivered to {found.output.url}")
    return 0 if done == len(lines) and not failures else _FAILED


def _names(found: "Settings") -> str:
    return ", ".join(unit.name for unit in found.units)


if __name__ == "__main__":
    main()
