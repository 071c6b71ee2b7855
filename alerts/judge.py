"""Judge: the one door through which everything that can go wrong comes in, as Results.

What is believed lives in memory, where each look is stepped the moment it is seen. The database follows: all looks of a moment are one
transaction, a flip is written at once. So a kill loses at most the looks since the last sign of life that the same transactions write.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from alerts import state, state_rows, states, unseen
from alerts.batch import Batch, Ledger
from alerts.families import is_family
from alerts.follow import Followed, Terms, Turn, follow_all
from alerts.incident import Incident
from alerts.retiring import Retiring, regroup, retire
from alerts.state import Flip, State
from alerts.states import Key, States
from alerts.tables import Database, StateAway
from collectors.result import Result, Status, storable
from configs.clock import Clock

_log: Final = logging.getLogger("pantau.alerts")
_MOMENT: Final = 1.0  # seconds that an uneventful look waits for others, to be written in one transaction


class Observed(msgspec.Struct, frozen=True):
    """What a look led to: the state after it, the flip it confirmed, and the incident that it found open, or opened."""

    state: State
    flip: Flip | None
    incident_id: int | None


class Judge:
    """Turns results into states, flips, incidents and messages owed.

    ``terms`` are its first ones; ``ledger`` is written in the same transactions; ``planned`` is called after messages were put into
    the outbox. ``moment`` is how many seconds an uneventful look may wait. ``load`` it before the first look; it belongs to one event
    loop.
    """

    def __init__(
        self,
        database: Database,
        terms: Terms,
        ledger: Ledger,
        clock: Clock,
        *,
        planned: Callable[[], None] = lambda: None,
        moment: float = _MOMENT,
    ) -> None:
        self.states = States()
        self._database = database
        self._terms = terms
        self._ledger = ledger
        self._clock = clock
        self._planned = planned
        self._moment = moment
        self._batch: Batch | None = None
        self._writing = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._oldest: int | None = None
        self.away = False

    async def load(self) -> None:
        """Believe what the database says. Raises StateAway."""
        believed, spans = await self._database.read(lambda tx: (states.read(tx), self._ledger.read(tx)))
        rows, incidents = believed
        self.states.load(map(self._resumed, rows), incidents)
        self._ledger.load(spans)

    def use(self, terms: Terms) -> None:
        """Judge by other terms from now on; what was seen before is judged by those of then."""
        self._terms = terms

    def interrupt(self, gap: int) -> None:
        """Join no looks across ``gap`` ms (of the wall clock) that nobody saw."""
        steady = self._clock.steady()
        for believed in self.states.all():
            try:
                policy = self._terms.policy(believed.check)
            except KeyError:  # it left the settings, and is not retired yet
                continue
            after = unseen.interrupted(believed, policy, abs(gap))
            if after != believed:
                self.states.put(after)
                self._open_batch(steady).states[after.check, after.subject] = after
                self._soon(self._moment)

    def see(self, results: Iterable[Result], steady: int) -> Sequence[Observed]:
        """Step what is believed by looks that began at ``steady`` (ms of steady time): at once, in memory. Repeats change nothing."""
        observed = []
        for result in results:
            try:
                observed.append(self._see(result, steady))
            except Exception:  # noqa: BLE001 - one that cannot be judged must not cost the others
                _log.exception("a result of %s could not be judged", result.check)
        return observed

    async def observe(self, results: Iterable[Result], steady: int) -> Sequence[Observed]:
        """Judge looks as ``see`` does, and return when they are ``written``."""
        observed = self.see(results, steady)
        await self.written()
        return [
            msgspec.structs.replace(
                one, incident_id=one.incident_id or self.incident_of(one.state.check, one.state.subject)
            )
            for one in observed
        ]

    async def written(self) -> None:
        """Wait until all that was seen so far is in the database.

        Raises StateAway when the database takes nothing for now: what was seen stays in memory, and is written when it is back.
        """
        if self._batch is not None:
            await asyncio.shield(self._batch.written)

    def backlog(self) -> int:
        """Return for how many ms (steady) the oldest look waits that is not written."""
        waiting = [self._oldest, None if self._batch is None else self._batch.since]
        oldest = min((at for at in waiting if at is not None), default=None)
        return 0 if oldest is None else max(self._clock.steady() - oldest, 0)

    async def commit(self) -> None:
        """Write what was seen, and that the centre lives; with nothing seen just that. Raises StateAway."""
        # a task of its own: what is being written cannot be called back when whoever asked for it gives up
        task = asyncio.get_running_loop().create_task(self._commit(), name="judge-commit")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def _commit(self) -> None:
        async with self._writing:
            self._stop_timer()
            batch, self._batch = self._batch or Batch(), None
            self._oldest = batch.since
            try:
                await self._write(batch, self._ledger.draw(), self._clock.now())
            except Exception as error:
                self._keep(batch, error)
                raise
            finally:
                self._oldest = None
            self.away = False
        batch.written.set_result(None)

    async def retire(self, check: str, subject: str, *, by: str) -> Incident | None:
        """Stop believing anything of a subject by a check; its open incident, if any, is closed as retired and returned."""
        if self._batch is not None:
            await self.commit()
        async with self._writing:
            closed, planned = await self._database.write(
                partial(retire, check=check, subject=subject, retiring=self._retiring(by))
            )
            self._remove(check, subject)
        if planned:
            self._planned()
        return await self.retire_families(by=by, subject=subject) or closed

    async def retire_families(self, *, by: str, subject: str = "") -> Incident | None:
        """Make the incidents of families (of ``subject``, or all) what their rules say by the terms of now; return one that this closed."""
        closed = None
        for family, whose in list(self.states.incidents):
            if not is_family(family) or (subject and subject != whose):
                continue
            if self._batch is not None:
                await self.commit()
            async with self._writing:
                names = self._names(whose)
                done = await self._database.write(
                    partial(regroup, family=family, subject=whose, names=names, retiring=self._retiring(by))
                )
                for check in done.forgotten:
                    self._remove(check, whose)
                if not done.stays:
                    self.states.incidents.pop((family, whose), None)
                closed = done.closed or closed
            if done.planned:
                self._planned()
        return closed

    def incident_of(self, check: str, subject: str) -> int | None:
        """Return the open incident of a check on a subject, be it that of its family, if any."""
        name = self._name(check)
        own = self.states.incident_of(check, subject)
        return own if own is not None or name is None else self.states.incident_of(name, subject)

    def _name(self, check: str) -> str | None:
        """Return how settings name the incidents of a check; None when they do not know it."""
        try:
            return self._terms.policy(check).family or check
        except KeyError:
            return None

    def _names(self, subject: str) -> dict[str, str]:
        checks = [one.check for one in self.states.of_subject(subject) if one.subject == subject]
        return {check: name for check in checks if (name := self._name(check)) is not None}

    def _retiring(self, by: str) -> Retiring:
        return Retiring(by, self._terms, self._clock.now(), self._clock.steady())

    def _remove(self, check: str, subject: str) -> None:
        self.states.remove(check, subject)
        if self._batch is not None:
            self._batch.forget((check, subject))

    def _see(self, result: Result, steady: int) -> Observed:
        result = storable(result)
        terms, key = self._terms, (result.check, result.subject)
        policy = terms.policy(result.check)
        before = self.states.get(*key)
        step = state.step(before, result, policy, steady=steady)
        if step.state is not before:
            self.states.put(step.state)
            batch = self._open_batch(steady)
            batch.states[key] = step.state
            if step.flip is not None:
                first = before is None and step.flip.to_status is Status.UP
                siblings = tuple(
                    sibling
                    for check in policy.siblings
                    if (sibling := self.states.get(check, result.subject)) is not None
                )
                batch.turns.append(Turn(terms, step.state, step.flip, first, siblings=siblings))
            self._soon(0 if step.flip else self._moment)
        if step.seen is not None:
            self._ledger.see(step.seen)
        return Observed(step.state, step.flip, self.incident_of(result.check, result.subject))

    def _open_batch(self, steady: int) -> Batch:
        if self._batch is None:
            self._batch = Batch()
        if self._batch.since is None:
            self._batch.since = steady
        return self._batch

    def _soon(self, seconds: float) -> None:
        """Write within so many seconds; while the database is away only ``commit`` tries, now and then."""
        if self.away:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = loop.call_at(due, self._begin)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self) -> None:
        self._timer = None
        task = asyncio.get_running_loop().create_task(self._commit_alone(), name="judge-commit")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _commit_alone(self) -> None:
        try:
            await self._commit()
        except StateAway:
            pass  # whoever waits is told
        except Exception:  # noqa: BLE001 - it is kept, and the next turn tries again
            _log.exception("what was seen could not be written")

    async def _write(self, batch: Batch, drawn: Any, at: int) -> None:
        """Write a batch, in one transaction if that can be done."""

        def write(tx: Connection) -> tuple[Any, list[Followed]]:
            states.save(tx, list(batch.states.values()))
            return self._ledger.write(tx, drawn, at), follow_all(tx, batch.turns, at, self._clock.steady())

        try:
            settled, followed = await self._database.write(write)
        except StateAway:
            self._ledger.give_back(drawn)
            raise
        except Exception:  # noqa: BLE001 - whatever is wrong with one row must not cost the others
            _log.exception("what was seen could not be written at once: it is written piece by piece")
            await self._write_apart(batch, drawn, at)
        else:
            self._ledger.settle(drawn, settled)
            self._followed(followed)

    async def _write_apart(self, batch: Batch, drawn: Any, at: int) -> None:
        """Write a batch piece by piece: one that cannot be written must not cost the others. What is written leaves the batch."""
        pieces = self._ledger.split(drawn)
        while pieces:
            piece = pieces.pop()
            try:
                self._ledger.settle(piece, await self._database.write(partial(self._ledger.write, drawn=piece, at=at)))
            except StateAway:
                for rest in (piece, *pieces):
                    self._ledger.give_back(rest)
                raise
            except Exception:  # noqa: BLE001 - the others go on
                _log.exception("a stretch of the ledger could not be written: it stays unobserved")
                self._ledger.lose(piece)
        flipped = {turn.key for turn in batch.turns}
        while batch.turns:
            await self._try(batch.turns[0].key, partial(self._write_turn, batch, batch.turns[0], at))
            del batch.turns[0]
        for key in flipped:
            batch.states.pop(key, None)
        for key, believed in list(batch.states.items()):
            await self._try(key, partial(self._database.write, partial(states.save, states=[believed])))
            del batch.states[key]

    async def _write_turn(self, batch: Batch, turn: Turn, at: int) -> None:
        def write(tx: Connection) -> list[Followed]:
            states.save(tx, [batch.states.get(turn.key, turn.after)])
            return follow_all(tx, [turn], at, self._clock.steady())

        self._followed(await self._database.write(write))

    async def _try(self, key: Key, write: Callable[[], Awaitable[object]]) -> None:
        """Write one piece; when that cannot be done, believe of its subject what the database says, so that the next look tries again."""
        try:
            await write()
        except StateAway:
            raise
        except Exception:  # noqa: BLE001 - the others go on
            _log.exception("what %s showed of %s could not be written", *key)
            await self._reload(key)

    async def _reload(self, key: Key) -> None:
        """Believe of one subject what the database says, since what we believed could not be written."""
        believed = await self._database.read(lambda tx: state_rows.load(tx, *key))
        if believed is None:
            self.states.remove(*key)
        else:
            self.states.put(self._resumed(believed))

    def _resumed(self, row: State) -> State:
        return unseen.resumed(row, now=self._clock.now(), steady=self._clock.steady())

    def _followed(self, followed: Iterable[Followed]) -> None:
        """Know the incidents that are open now, and let the courier know when it has something to carry."""
        planned = 0
        for key, incident_id, messages in followed:
            if incident_id is None:
                self.states.incidents.pop(key, None)
            else:
                self.states.incidents[key] = incident_id
            planned += messages
        if planned:
            self._planned()

    def _keep(self, batch: Batch, error: Exception) -> None:
        """Hold what could not be written for the next try, and release who waits for it."""
        if batch.since is not None:
            if self._batch is None:
                self._batch = Batch()
            self._batch.begin_with(batch)
        self.away = isinstance(error, StateAway)
        batch.written.set_exception(error)
