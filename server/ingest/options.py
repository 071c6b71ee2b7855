"""Settings of the ingest."""

from collections.abc import Collection
from typing import Annotated

import msgspec

from configs.read import Faults, Source
from configs.units import Duration, Size
from server.ingest.tokens import Token


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[ingest]``.

    ``org`` and ``bucket`` are what clients must name (``bucket`` is the database of ``/write``). ``tokens`` may write for any host;
    hosts that joined (``pantau enrol``) have tokens of their own. ``body`` limits a request as it is sent, ``unpacked`` its text,
    ``lines`` its lines, ``line`` one of them, ``patience`` how long its body may take; ``held`` is the text of all requests that are
    being worked on: beyond it they are asked to come later. What is made of it takes four times as much at most: they take turns.
    One token of ``tokens`` brings ``new_hosts`` names of hosts within an hour at most; points of others are refused. Of more than
    ``hosts`` known hosts, only those that join are taken into the list.
    """

    org: str = "pantau"
    bucket: str = "pantau"
    tokens: tuple[Token, ...] = ()
    body: Size = Size(10_000_000)
    unpacked: Size = Size(25_000_000)
    lines: int = 250_000
    line: Size = Size(1_000_000)
    held: Size = Size(50_000_000)
    patience: Duration = Duration(60)
    hosts: Annotated[int, msgspec.Meta(ge=1)] = 20_000
    new_hosts: Annotated[int, msgspec.Meta(ge=1)] = 500


def check_tokens(source: Source, options: Options, buckets: Collection[str]) -> None:
    """Raise SettingsError for each token of a bucket that there is not."""
    faults = Faults()
    for position, token in enumerate(options.tokens):
        if token.bucket and token.bucket not in buckets:
            why = f"unknown bucket {token.bucket!r} of token {token.name!r}; known: {', '.join(buckets)}"
            faults.add(source.error(("ingest", "tokens", position, "bucket"), why))
    faults.tell()
