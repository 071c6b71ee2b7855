"""An event loop of made time: no sockets, no threads; time jumps to the next timer once nothing is ready.

What asyncio promises is kept: callbacks that are ready run in the order in which they were handed in, timers in the order of their
times. What it leaves open is drawn from a seed: how late the loop comes round to a timer, which of two timers of one moment is first,
and how long work in a thread waits for its turn and its answer for the loop.
"""

import asyncio
import contextvars
import heapq
import logging
import warnings
from collections import deque
from math import inf

LAG = 0.002  # seconds that the loop comes late to a timer, at most; it is what brings several into one turn
THREAD = 0.004  # seconds that work waits for a thread, and its answer for the loop, at most
STEPS = 200_000  # callbacks without any time between them: nothing that ends needs so many
WORKERS = 8  # threads of the default executor


class Livelock(Exception):
    """Callbacks go on and on at one moment."""


class Call:
    """A callback that waits for its turn; ``when`` is the loop's time of a timer."""

    __slots__ = ("_when", "args", "callback", "context", "dropped")

    def __init__(self, callback, args, context, when=0.0):
        self.callback = callback
        self.args = args
        self.context = contextvars.copy_context() if context is None else context
        self.dropped = False
        self._when = when

    def cancel(self):
        self.dropped = True
        self.callback = self.args = None

    def cancelled(self):
        return self.dropped

    def when(self):
        return self._when


class Loop(asyncio.AbstractEventLoop):
    """One process: its loop from its start to its end; ``chance`` is a ``random.Random``, ``start`` its monotonic clock, seconds.

    Nothing runs but within ``run``. What callbacks raised, and tasks that nobody asked, is in ``faults``.
    """

    def __init__(self, chance, *, start=0.0, steps=STEPS):
        self._chance = chance.random
        self._now = start
        self._limit = steps
        self._ready = deque()
        self._timers = []
        self._threads = {}
        self._dead = False
        self.faults = []
        self.count = 0

    def time(self):
        return self._now

    def run(self, until, *, most=inf):
        """Run what is due up to ``until``; return False when it was left after ``most`` callbacks, before that moment."""
        last = self.count + most
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            while self._turn(last):
                if not self._advance(until):
                    return True
            return False
        finally:
            asyncio._set_running_loop(before)

    def complete(self, work, *, within=600.0):
        """Return what a coroutine returns, with the loop run for it; TimeoutError after so many seconds of made time."""
        task = self.create_task(work)
        end = self._now + within
        while not task.done():
            if self._now >= end:
                raise TimeoutError("it did not end")
            self.run(min(self._now + 0.05, end))
        return task.result()

    def stall(self, seconds):
        """Let time pass in which nothing runs: the process is stopped."""
        self._now += seconds

    def kill(self):
        """End as a process does that is killed: nothing of it runs any more, whatever it still meant to do."""
        self._dead = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of what was to run and never began
            self._ready.clear()
            self._timers.clear()
        before, logging_before = asyncio._get_running_loop(), logging.root.manager.disable
        asyncio._set_running_loop(self)
        logging.disable()
        try:
            for task in asyncio.all_tasks(self):
                task._log_destroy_pending = False
                _let_go(task.get_coro())
        finally:
            logging.disable(logging_before)
            asyncio._set_running_loop(before)
        self.faults.clear()

    def _turn(self, last):
        """Run what is ready, and what that makes ready; return whether there may be more time."""
        ready, first = self._ready, self.count
        while ready:
            if self.count >= last:
                return False
            call = ready.popleft()
            if call.dropped:
                continue
            self.count += 1
            try:
                call.context.run(call.callback, *call.args)
            except Exception as error:
                self.call_exception_handler({"message": "a callback failed", "exception": error})
            if self.count - first > self._limit:
                raise Livelock(f"{self._limit} callbacks at {self._now:.3f} s, the last one {call.callback!r}")
        return True

    def _advance(self, until):
        """Go on to the next timer; return False when that lies beyond ``until``."""
        timers = self._timers
        while timers and timers[0][2].dropped:
            heapq.heappop(timers)
        if not timers or timers[0][0] > until:
            self._now = max(self._now, until)
            return False
        self._now = max(self._now, min(timers[0][0] + self._chance() * LAG, until))
        self._admit()
        return True

    def _admit(self):
        timers, now, ready = self._timers, self._now, self._ready
        while timers and timers[0][0] <= now:
            call = heapq.heappop(timers)[2]
            if not call.dropped:
                ready.append(call)

    def call_soon(self, callback, *args, context=None):
        call = Call(callback, args, context)
        if not self._dead:
            self._ready.append(call)
        return call

    call_soon_threadsafe = call_soon

    def call_later(self, delay, callback, *args, context=None):
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(self, when, callback, *args, context=None):
        call = Call(callback, args, context, when)
        if not self._dead:
            heapq.heappush(self._timers, (when, self._chance(), call))
        return call

    def run_in_executor(self, executor, func, *args):
        """Do the work in one piece, some time later, when a thread of the executor is free; its answer comes later still."""
        answer = self.create_future()
        threads = self._threads.setdefault(executor, [0.0] * getattr(executor, "_max_workers", WORKERS))
        begin = max(heapq.heappop(threads), self._now) + self._chance() * THREAD
        heapq.heappush(threads, begin)

        def work():
            if answer.cancelled():
                return
            asyncio._set_running_loop(None)  # a thread has none
            try:
                settle, outcome = answer.set_result, func(*args)
            except Exception as error:
                settle, outcome = answer.set_exception, error
            finally:
                asyncio._set_running_loop(self)
            self.call_at(self._now + self._chance() * THREAD, tell, settle, outcome)

        def tell(settle, outcome):
            if not answer.cancelled():
                settle(outcome)

        self.call_at(begin, work)
        return answer

    def create_future(self):
        return asyncio.Future(loop=self)

    def create_task(self, coro, *, name=None, context=None, **options):
        return asyncio.Task(coro, loop=self, name=name, context=context, **options)

    def call_exception_handler(self, context):
        if not self._dead:
            self.faults.append(context)

    def get_debug(self):
        return False

    def is_running(self):
        return not self._dead

    def is_closed(self):
        return self._dead

    def get_task_factory(self):
        return None


def _let_go(work):
    """Free what a coroutine holds, from within. Its ``finally`` blocks run, but nothing hears them; where they wait, they go, too."""
    inside = getattr(work, "cr_await", None) or getattr(work, "ag_await", None)
    if inside is not None:
        _let_go(inside)
    for _ in range(10):
        try:
            return getattr(work, "close", lambda: None)()
        except BaseException:
            continue
    return None
