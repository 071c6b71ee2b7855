"""Errors and warnings counted in real journal files: by unit, on after a restart, through a flood, without a journal."""

import errno
import subprocess
from pathlib import Path

import pytest
from parts import require

from collectors.host import Roots
from collectors.host.journald import Journald, Options
from collectors.host.sources.program import Ended, run
from configs.units import Size

NOW = 1_700_000_000_000_000_000
HOUR = 3600 * 10**9
REMOTE = Path("/lib/systemd/systemd-journal-remote")


@pytest.fixture
def journal(tmp_path):
    """Write entries into a real journal: ``journal((priority, unit), ...)``; ``journal.folder`` is where it is."""
    require("journalctl", "systemd")
    if not REMOTE.exists():
        pytest.skip("systemd-journal-remote is missing: apt-get install systemd-journal-remote")
    folder = tmp_path / "journal"
    folder.mkdir()
    told = 0

    def write(*entries):
        nonlocal told
        texts = []
        for priority, unit in entries:
            told += 1
            fields = [f"__REALTIME_TIMESTAMP={NOW // 1000 + told}", f"__MONOTONIC_TIMESTAMP={told}"]
            fields += ["_BOOT_ID=" + "1" * 32, f"MESSAGE=pesan {told}", f"PRIORITY={priority}"]
            fields += [f"_SYSTEMD_UNIT={unit}"] if unit.endswith(".service") else [f"SYSLOG_IDENTIFIER={unit}"]
            texts.append("\n".join([*fields, "_TRANSPORT=kernel"] if unit == "kernel" else fields))
        command = [REMOTE, "-o", folder / "kota.journal", "-"]
        subprocess.run(command, input="\n\n".join([*texts, ""]) + "\n", text=True, check=True, capture_output=True)

    write.folder = str(folder)
    return write


@pytest.fixture
def make(journal):
    return lambda roots=Roots(), **options: Journald(Options(folder=journal.folder, **options), roots)  # noqa: B008


def counts(points):
    """Unit ("" for all) -> its counts that are not 0."""
    return {p.tags.get("unit", ""): {name: value for name, value in p.fields.items() if value} for p in points}


@pytest.mark.real
async def test_it_counts_by_priority_and_by_unit_what_came_since_it_first_looked(journal, make):
    journal((3, "lama.service"))
    one = make()
    assert counts(await one.collect(NOW)) == {"": {}}
    journal((3, "nginx.service"), (3, "nginx.service"), (4, "nginx.service"), (6, "nginx.service"))
    journal((2, "kernel"), (0, "sudo"), (7, "sudo"))
    expected = {
        "": {"err": 2, "warning": 1, "crit": 1, "emerg": 1},
        "nginx.service": {"err": 2, "warning": 1},
        "kernel": {"crit": 1},
        "sudo": {"emerg": 1},
    }
    assert counts(await one.collect(NOW)) == expected
    assert counts(await one.collect(NOW)) == expected


@pytest.mark.real
async def test_a_lower_priority_can_be_asked_for(journal, make):
    journal((6, "a.service"))
    one = make(priority="debug")
    await one.collect(NOW)
    journal((7, "a.service"), (5, "a.service"))
    assert counts(await one.collect(NOW))[""] == {"debug": 1, "notice": 1}


@pytest.mark.real
async def test_of_many_units_the_others_are_added_up(journal, make):
    journal((3, "a.service"))
    one = make(max_units=2)
    await one.collect(NOW)
    journal(*((3, f"kerja@{number}.service") for number in range(30)))
    told = counts(await one.collect(NOW))
    assert told == {"": {"err": 30}, "kerja@0.service": {"err": 1}, "kerja@1.service": {"err": 1}, "other": {"err": 28}}
    journal((3, "baru.service"))
    later = counts(await one.collect(NOW + 25 * HOUR))  # a unit that was quiet for a day gives its place away
    assert later["baru.service"] == {"err": 1}
    assert len(later) == 4


@pytest.mark.real
async def test_a_flood_is_counted_up_to_a_bound_and_the_rest_told_as_skipped(journal, make):
    journal((3, "a.service"))
    one = make(max_output=Size(40_000))
    await one.collect(NOW)
    journal(*((3, "banjir.service") for _ in range(3000)))
    told = counts(await one.collect(NOW))
    assert 50 < told[""]["err"] < 300
    assert told[""]["err"] + told[""]["skipped"] == 3000
    journal((2, "a.service"))
    after = counts(await one.collect(NOW))
    assert after["a.service"] == {"crit": 1}
    assert after[""]["err"] == told[""]["err"]


@pytest.mark.real
async def test_a_restart_counts_on_from_the_last_entry_that_was_read(journal, make, tmp_path):
    roots = Roots(state=str(tmp_path))
    journal((3, "a.service"))
    one = make(roots)
    await one.collect(NOW)
    journal((3, "a.service"))
    before = counts(await one.collect(NOW))
    await one.collect(NOW)
    journal((3, "a.service"), (4, "b.service"))  # while the agent is away
    after = counts(await make(roots).collect(NOW))
    assert before[""] == {"err": 1}
    assert after == {"": {"err": 2, "warning": 1}, "a.service": {"err": 2}, "b.service": {"warning": 1}}


@pytest.mark.real
async def test_a_host_without_a_journal_says_so(tmp_path):
    require("journalctl", "systemd")
    with pytest.raises(FileNotFoundError, match="there is no journal") as caught:
        await Journald(Options(folder=str(tmp_path)), Roots(), run).collect(NOW)
    assert caught.value.errno == errno.ENOENT


async def test_a_user_who_sees_only_its_own_entries_is_told_so():
    async def limited(command, **_):
        hint = "Hint: You are currently not seeing messages from other users and the system.\n"
        return Ended(0, '{"__CURSOR":"s=1;i=1;"}\n', hint)

    with pytest.raises(PermissionError, match="may not be read"):
        await Journald(Options(), Roots(), limited).collect(NOW)


async def test_a_journalctl_that_fails_or_writes_nonsense_is_an_error():
    answers = [Ended(0, '{"__CURSOR":"s=1;i=1;"}\n'), Ended(1, "", "Failed to seek"), Ended(0, "oops\n")]

    async def failing(command, **_):
        return answers.pop(0)

    one = Journald(Options(), Roots(), failing)
    await one.collect(NOW)
    for words in ("Failed to seek", "does not write JSON"):
        with pytest.raises(OSError, match=words):
            await one.collect(NOW)
