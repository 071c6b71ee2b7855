"""Examples at the end of each ``--help`` and in the manual page: what people type most, and what a reader would not guess."""

import argparse
from collections.abc import Iterator
from typing import Any, Final

_Line = tuple[str, str]  # the command, and what it does

_MAINTENANCE: Final = (
    "pantau maintenance add portal --from 2026-12-05T22:00 --to 2026-12-06T02:00"
    " --reason 'Pindah basis data' --author Budi --approver Siti"
)

# By command and verb, in the order of --help.
EXAMPLES: Final[dict[str, tuple[_Line, ...]]] = {
    "": (
        ("pantau up", "have a look: a centre and an agent in ./run"),
        ("pantau config check --secrets", "is everything well written, can it be read"),
        ("pantau COMMAND VERB --help", "more about one of them"),
    ),
    "up": (("pantau up --folder /tmp/pantau --port 8500", "another folder, another port"),),
    "server": (("pantau server --settings server.toml --log-level DEBUG", "in the foreground, talking"),),
    "reload": (("pantau reload", "the running centre reads its settings again, or says why not"),),
    "config check": (
        ("pantau config check", "those that the commands read"),
        ("pantau config check --secrets", "and whether the service's user can read each secret"),
        ("pantau config check server.toml services.toml", "these, before they are copied"),
    ),
    "register add": (
        ("pantau register add daftar.csv", "show what would be added"),
        ("pantau register add daftar.csv --yes", "add it"),
    ),
    "channel test": (
        ("pantau channel test telegram", "to everybody whom it reaches"),
        ("pantau channel test surel --to noc@kota.example", "to one address"),
    ),
    "user add": (
        ("pantau user add siti --role admin", "asks for the password"),
        ("pantau user add budi --role evaluator --password-stdin < FILE", "for scripts"),
    ),
    "enrol new": (
        ("pantau enrol new", "one host, within an hour"),
        ("pantau enrol new --hosts 20 --ttl 8h", "twenty, within a working day"),
        ("pantau enrol new --host srv-1", "srv-1 only, also on new hardware"),
    ),
    "enrol accept": (("pantau enrol accept srv-1 --from 10.1.2.3", "the new machine may have the name"),),
    "enrol revoke": (("pantau enrol revoke srv-1", "its token is not good any more within five seconds"),),
    "host forget": (("pantau host forget srv-lama srv-uji", "both are gone"),),
    "token": (("pantau token telegraf --bucket lab", "a line for [ingest], good for one bucket"),),
    "report": (
        ("pantau report --month 2026-11 --output laporan.html", "a month"),
        ("pantau report --service portal --format json", "one service, for programs"),
    ),
    "report compute": (("pantau report compute CASES.json", "count timelines of one's own"),),
    "maintenance add": ((_MAINTENANCE, "planned before it starts, it counts as maintenance"),),
    "store init": (("pantau store init --lang en", "buckets, retention and roll-ups"),),
    "store check": (("pantau store check --bucket lab", "one bucket only"),),
    "store copy": (("pantau store copy --from embedded --to influx", "beside the running centre"),),
    "state copy": (
        (
            "pantau state copy --to postgresql://pantau@127.0.0.1/pantau --password-file /etc/pantau/state-password",
            "into PostgreSQL, while the centre is stopped; prints the lines for the settings",
        ),
        (
            "pantau state copy --from postgresql://pantau@127.0.0.1/pantau --to sqlite:////var/lib/pantau/state.db",
            "and back into a file",
        ),
    ),
    "state back": (("pantau state back", "the state.db from before the last upgrade"),),
    "store delete": (
        ("pantau store delete cpu --tag host=web-1 --from 2026-11-01", "show what would go"),
        ("pantau store delete cpu --tag host=web-1 --from 2026-11-01 --yes", "delete it"),
    ),
    "backup": (
        ("pantau backup --to /mnt/nas/pantau.tar", "one backup, in this file"),
        ("pantau backup --to /mnt/nas/november", "one backup, as a folder"),
        (
            "pantau backup --into /var/backups/pantau --keep 14",
            "one more in a folder of many: pantau-20261125T021700Z.tar",
        ),
        ("pantau backup --schedule", "what to type for one every night"),
    ),
    "restore": (
        (
            "pantau restore --drill --from /mnt/nas/pantau.tar",
            "could it be brought back? changes nothing, also while the centre runs",
        ),
        (
            "pantau restore --from /mnt/nas/pantau.tar",
            "bring it back: the centre is stopped, its data folder moved away",
        ),
    ),
}


def add_examples(parser: argparse.ArgumentParser) -> None:
    """Put each command's examples behind its options."""
    for path, command in walk(parser):
        if lines := EXAMPLES.get(path):
            examples = "examples:\n" + "\n".join(f"  {typed}\n      {told}" for typed, told in lines)
            command.epilog = f"{examples}\n\n{command.epilog}" if command.epilog else examples
            command.formatter_class = argparse.RawDescriptionHelpFormatter


def walk(parser: argparse.ArgumentParser, path: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield every command with its path below ``pantau``: "" for itself, "store", "store copy"."""
    yield path, parser
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to its commands
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            commands: dict[str, Any] = action.choices
            for name, command in commands.items():
                yield from walk(command, f"{path} {name}".lstrip())
