"""Readers that come in crowds wait for threads of their own."""

import asyncio
import threading

from sqlalchemy import text

from server.state.read_apart import ReadApart

CROWD = 12


async def test_a_crowd_of_long_reads_keeps_neither_a_write_nor_a_read_of_the_centre_waiting(database):
    pages = await asyncio.to_thread(ReadApart, database, 2)
    begun, end = threading.Semaphore(0), threading.Event()

    def long(tx):
        number = tx.scalar(text("SELECT 7"))
        begun.release()
        end.wait()
        return number

    crowd = [asyncio.create_task(pages.read(long)) for _ in range(CROWD)]
    try:
        await asyncio.to_thread(lambda: [begun.acquire(timeout=60) for _ in range(2)])
        await database.write(lambda tx: tx.execute(text("CREATE TABLE looked (n INTEGER)")))
        await pages.write(lambda tx: tx.execute(text("INSERT INTO looked VALUES (1)")))
        assert await database.read(lambda tx: tx.scalar(text("SELECT count(*) FROM looked"))) == 1
        assert not any(task.done() for task in crowd)
    finally:
        end.set()
    assert await asyncio.gather(*crowd) == [7] * CROWD
    assert pages.away == ""
    await asyncio.to_thread(pages.close)
