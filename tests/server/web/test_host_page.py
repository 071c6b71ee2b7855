"""The page of one server: its name and what the machine calls itself."""

from collectors.point import Point

NOW = 1_780_561_800_000  # of the town


async def test_a_machine_that_was_renamed_keeps_its_page_which_tells_the_new_name(visit):
    visitor = await visit("viewer")

    async def told(name, at):
        fields = {"hostname": name, "metrics_written": 1}
        await visitor.parts.store.write(
            [Point("internal_agent", {"host": "srv-dinkes-1", "version": "0.1.0"}, fields, at * 1_000_000)]
        )
        return (await visitor.get("/hosts/srv-dinkes-1"))[1]

    assert "Nama mesin sekarang" not in await told("srv-dinkes-1", NOW - 120_000)
    text = await told("puskesmas-baru", NOW - 60_000)
    assert "Nama mesin sekarang" in text
    assert "puskesmas-baru" in text
