"""Options that several sub-commands have."""

import argparse
from pathlib import Path

from configs.place import SYSTEM, VARIABLE, settings_file

SETTINGS = "server.toml"


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add ``--settings PATH``; ``arguments.settings`` is a Path, by ``settings_file`` where the option is not given."""
    parser.add_argument(
        "--settings",
        type=_file,
        default="",  # a text, so that argparse hands it to `type` when the command is the one that was typed
        metavar="PATH",
        help=f"default: ${VARIABLE} (a file, or its folder), else {SYSTEM / SETTINGS}, else ./{SETTINGS}",
    )


def _file(given: str) -> Path:
    return settings_file(given, SETTINGS)
