"""Makes manual pages and completions for shells from the command lines themselves: ``python manual.py PROGRAM ROOT``."""

import argparse
import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import shtab
from argparse_manpage.manpage import Manpage

sys.path.insert(0, str(Path(__file__).parents[1]))

from agent.cli import parser as agent
from server.cli.main import parser as centre

PARSERS: Final[dict[str, Callable[[], argparse.ArgumentParser]]] = {"pantau": centre, "pantau-agent": agent}
_SUMMARIES: Final = {
    "pantau": "the centre of the Pantau monitoring suite, and everything that its operators do",
    "pantau-agent": "the agent of the Pantau monitoring suite",
}
_SECTIONS: Final = {
    "EXIT STATUS": (
        "0: all is well. 1: something was found, or something outside of Pantau failed. 2: what was typed or is written in settings "
        "cannot be used, or does not mend itself."
    ),
    "FILES": "/etc/pantau: settings. /var/lib/pantau, /var/lib/pantau-agent: what the centre and the agent keep.",
    "ENVIRONMENT": "PANTAU_SETTINGS: a settings file, or the folder that holds it, where none is named by --settings.",
}


def document(program: str, kind: str) -> str:
    """Return a manual page (``man``) or the completion for a shell (``bash``, ``zsh``)."""
    parser = PARSERS[program]()
    if kind != "man":
        return shtab.complete(parser, shell=kind).rstrip() + "\n"
    parser.man_short_description = _SUMMARIES[program]
    parser._manpage = [{"heading": heading, "content": text} for heading, text in _SECTIONS.items()]
    page = Manpage(parser, {"date": "", "project_name": "Pantau", "manual_title": "Pantau"})
    page.date = ""  # the same page whenever it is made
    return str(page).rstrip() + "\n"


def lay(program: str, root: Path) -> None:
    """Put the manual page and the completions where packages have them, below ``root``; the same bytes whenever it is done."""
    files = {
        f"man/man1/{program}.1.gz": gzip.compress(document(program, "man").encode(), mtime=0),
        f"bash-completion/completions/{program}": document(program, "bash").encode(),
        f"zsh/vendor-completions/_{program}": document(program, "zsh").encode(),
    }
    for name, content in files.items():
        file = root / "usr/share" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o644)


if __name__ == "__main__":
    lay(sys.argv[1], Path(sys.argv[2]))
