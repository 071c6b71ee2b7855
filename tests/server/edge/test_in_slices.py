import asyncio
import itertools

from server.edge.in_slices import in_slices


async def test_all_else_has_its_turn_between_two_slices():
    turns = []

    async def look():
        while True:
            turns.append(len(made))
            await asyncio.sleep(0)

    made = []
    looking = asyncio.create_task(look())
    collected = await in_slices((made.append(n) or n for n in range(1000)), seconds=0)
    looking.cancel()
    assert collected == list(range(1000))
    assert len(turns) > 50
    assert max(after - before for before, after in itertools.pairwise(turns)) <= 16


async def test_what_is_short_is_one_slice():
    turns = []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    assert await in_slices([1, 2, 3], seconds=60) == [1, 2, 3]
    assert turns == []
