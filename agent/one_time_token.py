"""The one-time token of ``pantau-agent join``, from wherever it does not stand on a command line."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

VARIABLE: Final = "PANTAU_JOIN_TOKEN"
_LONGEST: Final = 1000


class TokenUnreadable(Exception):
    """There is no one-time token where it was looked for; the message says where and never shows what was there."""


def one_time_token(argument: str, file: Path | None, environment: Mapping[str, str]) -> str:
    """Return the token: the argument, what ``file`` holds, the variable, what standard input brings, or what a person types.

    Raises TokenUnreadable.
    """
    if file is not None and argument:
        raise TokenUnreadable("the one-time token is given twice: leave TOKEN or --token-file out")
    if argument:
        return argument
    if file is not None:
        return _checked(_read(file), str(file))
    if VARIABLE in environment:
        return _checked(environment[VARIABLE], f"${VARIABLE}")
    if not sys.stdin.isatty():
        return _checked(sys.stdin.readline(_LONGEST), "standard input")
    from getpass import getpass  # noqa: PLC0415 - of use only at a keyboard

    return _checked(getpass("One-time token: "), "what was typed")


def _read(file: Path) -> str:
    try:
        with file.open(encoding="ascii", errors="replace") as opened:
            return opened.read(_LONGEST)
    except OSError as error:
        raise TokenUnreadable(f"cannot read {file}: {error.strerror}") from error


def _checked(text: str, where: str) -> str:
    token = text.strip()
    if not token:
        raise TokenUnreadable(f"no one-time token: {where} is empty")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise TokenUnreadable(f"no one-time token: {where} holds something else")
    return token
