"""The stores that settings plan: the table ``[store]``, and one store for each bucket."""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from configs.read import Faults, Place, SettingsError, Source, Table
from configs.units import Duration
from server.store import FUTURE_TOLERANCE, STORES, Store, StoreDamaged
from server.store.buckets import Bucket, Buckets, Options, open_store, place

_FORGETS: Final = "'retention' of 0 would forget everything"


class Plan(NamedTuple):
    """One bucket as settings describe it; ``build()`` makes its store and opens nothing.

    ``limit`` and ``future_tolerance`` are as in ``Bucket``.
    """

    name: str
    build: Callable[[], Store]
    retention: Duration
    limit: int
    future_tolerance: float


def read_plans(
    source: Source, store: Table, tables: Sequence[Table], *, main: str, retention: Duration, folder: Path
) -> list[Plan]:
    """Return the plans of all buckets, ``main`` first; ``retention`` is theirs by default, ``folder`` where their files are.

    Raises SettingsError that names the line of everything that cannot be had.
    """
    faults = Faults()
    if not retention:
        faults.add(source.error(("server", "retention"), _FORGETS))
    plans: dict[str, Plan] = {}
    with faults.noted():
        plans[main] = _plan(source, store, folder, main, retention)
    names, sound = {main}, main in plans
    for position, table in enumerate(tables):
        with faults.noted():
            at: Place = ("bucket", position)
            options = source.parse(Options, table, at, faults=faults)
            _check_bucket(source, options, at, names)
            names.add(options.name)
            if sound:  # else its faults would be told of each bucket that takes them over
                own, kept = {**store, **options.store}, options.retention or retention
                where = place(folder, options.name)
                plans[options.name] = _plan(source, own, where, options.name, kept, at=(*at, "store"), named=True)
    faults.tell()
    return list(plans.values())


def _check_bucket(source: Source, options: Options, at: Place, names: Collection[str]) -> None:
    faults = Faults()
    if options.retention is not None and not options.retention:
        faults.add(source.error((*at, "retention"), _FORGETS))
    if options.name in names:
        faults.add(source.error((*at, "name"), f"bucket {options.name!r} is there twice"))
    if "type" in options.store:
        why = f"'type' in 'store' of bucket {options.name!r}: all buckets are in one kind of store"
        faults.add(source.error((*at, "store", "type"), why))
    faults.tell()


def build(plans: Iterable[Plan]) -> Buckets:
    """Return the buckets, each with its store, closed as yet."""
    return Buckets(Bucket(plan.name, plan.build(), plan.retention, plan.limit, plan.future_tolerance) for plan in plans)


async def opened(buckets: Buckets, plans: Iterable[Plan]) -> list[Bucket]:
    """Return what ``buckets`` would be by other plans: known stores stay as they are, those of new buckets are opened.

    SettingsError when a new one cannot be used; none of them is open then.
    """
    found, new = list[Bucket](), list[Bucket]()
    for plan in plans:
        known = buckets.find(plan.name)
        store = plan.build() if known is None else known.store
        found.append(Bucket(plan.name, store, plan.retention, plan.limit, plan.future_tolerance))
        if known is None:
            new.append(found[-1])
    try:
        for bucket in new:
            await open_store(bucket)
    except StoreDamaged as error:
        for bucket in new:
            await bucket.store.close()
        raise SettingsError(f"bucket {error}") from error
    return found


def _plan(
    source: Source,
    table: Table,
    folder: Path,
    name: str,
    retention: Duration,
    *,
    at: Place = ("store",),
    named: bool = False,
) -> Plan:
    """Plan one store; with ``named``, its database's own bucket has the same name."""
    plugin, options_type = source.plugin("store", table.get("type", "embedded"), STORES, (*at, "type"))
    rest = {key: value for key, value in table.items() if key != "type"}
    if named and "bucket" in options_type.__struct_fields__:
        rest["bucket"] = name
    options = source.parse(options_type, rest, at, also=["type"])
    limit, tolerance = getattr(options, "series", 0), getattr(options, "future_tolerance", FUTURE_TOLERANCE)
    return Plan(name, partial(plugin, options, folder), retention, limit, tolerance)
