"""The command ``pantau``: everything but the agent."""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.metadata import version
from typing import Final

from server.cli import trouble
from server.cli.examples import add_examples
from server.cli.owner import NotOwner

# Each has `add(commands)`; imported in this order for --help, which is the order in which a newcomer needs them.
_COMMANDS: Final = (
    "up",
    "server",
    "reload",
    "config",
    "register",
    "channel",
    "user",
    "enrol",
    "host",
    "token",
    "report",
    "maintenance",
    "store",
    "state",
    "backup",
    "restore",
)
_INTERRUPTED: Final = 130  # as a shell tells a Ctrl-C


def parser(names: Sequence[str] = _COMMANDS) -> argparse.ArgumentParser:
    """Return the whole command line: help, manual page and completion are made of it; or the part of it that has these commands."""
    whole = argparse.ArgumentParser(
        prog="pantau", description="Keep watch over services, servers and network devices.", epilog=trouble.CODES
    )
    whole.add_argument("--version", action="version", version=f"pantau {version('pantau')}")
    commands = whole.add_subparsers(metavar="COMMAND", required=True)
    for name in names:
        import_module(f"server.cli.{name}").add(commands)
    add_examples(whole)
    return whole


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command; return its exit code (``trouble.CODES``). What stands in the way outside is told in one line."""
    words = sys.argv[1:] if argv is None else argv
    # one command loads nothing of the others: of the time that a restart takes, that would be a third
    known = parser(words[:1] if words and words[0] in _COMMANDS else _COMMANDS)
    if not words:
        known.print_help(sys.stderr)
        return trouble.REFUSED
    arguments = known.parse_args(words)
    try:
        code = int(arguments.run(arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # who closed our output early, as `head` does, wants no words about it
        _let_go_of_output()
        return trouble.FAILED
    except NotOwner as error:
        return _say(error.told(words), trouble.REFUSED)
    except trouble.EXPECTED as error:
        told = trouble.told(error)
        if told is None:
            raise
        return _say(*told)
    return code


def _say(message: str, code: int) -> int:
    print("\n".join(f"pantau: {line}" for line in message.splitlines()), file=sys.stderr)
    _let_go_of_output()
    return code


def _let_go_of_output() -> None:
    """Write out what is left; where that fails it goes nowhere, or the end of the process would tell of it once more."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
