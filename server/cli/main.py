"""The command ``pantau``: everything but the agent."""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.metadata import version
from typing import Final

from configs.read import SettingsError
from configs.secret import SecretUnreadable
from server.state.damage import StateDamaged
from server.store import StoreDamaged

# Each has `add(commands)`; imported in this order for --help, which is the order in which a newcomer needs them.
_COMMANDS: Final = (
    "up",
    "server",
    "reload",
    "config",
    "user",
    "enrol",
    "host",
    "token",
    "report",
    "maintenance",
    "store",
    "backup",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command; 0 is well, 1 is a finding, 2 is bad input, told in one line."""
    parser = argparse.ArgumentParser(
        prog="pantau", description="Keep watch over services, servers and network devices."
    )
    parser.add_argument("--version", action="version", version=f"pantau {version('pantau')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in _COMMANDS:
        import_module(f"server.cli.{name}").add(commands)
    arguments = parser.parse_args(argv)
    try:
        code = int(arguments.run(arguments))
        sys.stdout.flush()
    except (SettingsError, SecretUnreadable) as error:
        print(f"pantau: {error}", file=sys.stderr)
        return 2
    except (StateDamaged, StoreDamaged) as error:
        print(f"pantau: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        return _cannot(error)
    return code


def _cannot(error: OSError) -> int:
    """Print that something outside failed; whoever closed our output early, as ``head`` does, wants no words about it."""
    if not isinstance(error, BrokenPipeError):
        print(f"pantau: {error}", file=sys.stderr)
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in the buffer goes nowhere
    return 1


if __name__ == "__main__":
    sys.exit(main())
