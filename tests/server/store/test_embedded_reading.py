"""Questions to the embedded store while rows go from its tables into files."""

import asyncio

import pytest
from settled import T, counted, every_minute, files, settle_all

from server.store.embedded.levels import HOUR
from server.store.embedded.reading import over_time

pytestmark = pytest.mark.usefixtures("small_files")


@pytest.mark.parametrize(("exchanges", "asked"), [(0, 1), (1, 2), (2, 3), (3, 4), (9, 4)])
async def test_a_question_sees_each_row_once_though_rows_go_into_files_meanwhile(make, monkeypatch, exchanges, asked):
    store = await make()
    await store.write(every_minute("a", T, 90))
    loop, asks = asyncio.get_running_loop(), []

    async def exchange():
        """Let the hours be open, or settled, in turn."""
        if files(store) and not store._tables.shelves["float"].day_of(T).fresh:
            await store.write(every_minute("a", T, 90))
        else:
            await settle_all(store)

    def between(query, dictionary, shelves, ask, *more):
        def asking(*question):
            asks.append(question)
            if len(asks) <= exchanges:
                asyncio.run_coroutine_threadsafe(exchange(), loop).result()
            return ask(*question)

        return over_time(query, dictionary, shelves, asking, *more)

    monkeypatch.setattr("server.store.embedded.questions.over_time", between)
    assert await counted(store) == {T: sum(range(60)), T + HOUR: sum(range(60, 90))}
    assert len(asks) == asked
