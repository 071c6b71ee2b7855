"""What the loop of made time keeps of asyncio's promises, and what it leaves to the seed."""

import asyncio
import itertools
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from simulation.loop import Livelock, Loop


def loop_of(seed=1, **options):
    return Loop(random.Random(seed), **options)


def test_time_jumps_to_the_next_timer_and_no_further_than_asked():
    loop, woken = loop_of(), []

    async def sleeper():
        await asyncio.sleep(3600)
        woken.append(loop.time())

    loop.create_task(sleeper())
    loop.run(3000)
    assert (woken, loop.time()) == ([], 3000)
    loop.run(4000)
    assert woken == [pytest.approx(3600, abs=0.01)]


def test_callbacks_run_in_the_order_in_which_they_were_handed_in():
    loop, ran = loop_of(), []
    for number in range(50):
        loop.call_soon(ran.append, number)
    loop.run(1)
    assert ran == list(range(50))


def test_timers_of_one_moment_run_in_an_order_that_the_seed_draws():
    def order(seed):
        loop, ran = loop_of(seed), []
        for number in range(10):
            loop.call_at(5, ran.append, number)
        loop.run(6)
        return tuple(ran)

    assert order(1) == order(1)
    assert len({order(seed) for seed in range(20)}) > 10


def test_work_for_one_thread_is_done_in_its_order_and_answered_later():
    loop, done, writer = loop_of(), [], ThreadPoolExecutor(1)

    async def ask(number):
        return await loop.run_in_executor(writer, lambda: done.append(number) or loop.time())

    async def all_of_them():
        return await asyncio.gather(*(ask(number) for number in range(20)))

    moments = loop.complete(all_of_them())
    assert done == list(range(20))
    assert moments == sorted(moments)
    assert loop.time() > moments[-1]
    assert asyncio.run(asyncio.sleep(0, "no thread was begun")) == "no thread was begun"


def test_an_error_of_the_work_is_its_answer():
    loop = loop_of()
    with pytest.raises(ZeroDivisionError):
        loop.complete(as_coroutine(loop.run_in_executor(None, lambda: 1 // 0)))


async def as_coroutine(answer):
    return await answer


def test_a_stop_lets_time_pass_in_which_nothing_runs():
    loop, ticks = loop_of(), []

    async def tick():
        while True:
            ticks.append(loop.time())
            await asyncio.sleep(1)

    loop.create_task(tick())
    loop.run(3.5)
    loop.stall(40)
    loop.run(45)
    assert max(later - sooner for sooner, later in itertools.pairwise(ticks)) > 40


def test_a_killed_process_does_nothing_more_whatever_its_finally_blocks_want():
    loop, done = loop_of(), []

    async def work():
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(0)
            done.append("cleaned up")

    loop.create_task(work())
    loop.run(5)
    loop.kill()
    loop.run(100)
    assert (done, loop.faults) == ([], [])


def test_it_can_be_left_after_any_callback():
    loop, steps = loop_of(), []

    async def work():
        for number in range(10):
            steps.append(number)
            await asyncio.sleep(0)

    loop.create_task(work())
    assert not loop.run(1, most=4)
    assert steps == [0, 1, 2, 3]


def test_what_goes_round_without_time_is_a_livelock():
    loop = loop_of(steps=1000)

    async def spin():
        while True:
            await asyncio.sleep(0)

    loop.create_task(spin())
    with pytest.raises(Livelock):
        loop.run(1)


def test_timeouts_and_groups_of_tasks_work_as_on_a_real_loop():
    loop = loop_of()

    async def work():
        ended = []
        async with asyncio.TaskGroup() as group:
            for seconds in (3, 1, 2):
                group.create_task(asyncio.sleep(seconds)).add_done_callback(lambda _, it=seconds: ended.append(it))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.Event().wait()
        return ended, loop.time()

    ended, now = loop.complete(work())
    assert ended == [1, 2, 3]
    assert now == pytest.approx(8, abs=0.2)


def test_what_a_callback_raises_and_a_task_that_nobody_asked_are_kept():
    loop = loop_of()
    loop.call_soon(lambda: 1 // 0)
    loop.run(1)
    assert isinstance(loop.faults[0]["exception"], ZeroDivisionError)
