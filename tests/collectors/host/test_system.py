"""Who is logged in, on hosts that tell it in different ways; and uptimes as Telegraf writes them."""

import struct

import pytest

from collectors.host import Roots
from collectors.host.sources.users import logged_in
from collectors.host.system import uptime_format


def utmp(size, *entries):
    """A utmp(5) file: records of ``size`` bytes from (type, user) pairs."""
    return b"".join(
        struct.pack("=hhi32s4s32s", kind, 0, 4711, b"pts/0", b"ts/0", user.encode()).ljust(size, b"\0")
        for kind, user in entries
    )


@pytest.mark.parametrize("size", [384, 400])
def test_it_counts_sessions_of_utmp_whatever_the_processor(tmp_path, size):
    entries = [(2, "reboot"), (7, "sari"), (8, "gone"), (7, "budi"), (7, "sari"), (6, "LOGIN"), (0, "")]
    (tmp_path / "utmp").write_bytes(utmp(size, *entries))
    assert logged_in(str(tmp_path)) == ["sari", "budi", "sari"]


def test_a_user_name_may_fill_its_field(tmp_path):
    (tmp_path / "utmp").write_bytes(utmp(384, (7, "u" * 32)))
    assert logged_in(str(tmp_path)) == ["u" * 32]


@pytest.mark.parametrize("data", [b"", b"\xff" * 384, b"broken"])
def test_an_empty_or_broken_utmp_tells_of_nobody(tmp_path, data):
    (tmp_path / "utmp").write_bytes(data)
    assert logged_in(str(tmp_path)) == []


def test_a_host_that_keeps_no_sessions_tells_nothing(tmp_path):
    assert logged_in(str(tmp_path)) is None


async def test_unknown_users_are_no_field(collector, tmp_path):
    (tmp_path / "loadavg").write_text("0.00 0.01 0.05 1/80 99\n")
    (tmp_path / "uptime").write_text("60.00 1.00\n")
    (tmp_path / "stat").write_text("cpu  1 1 1 1\ncpu0 1 1 1 1\n")
    roots = Roots(proc=str(tmp_path), sys=str(tmp_path / "none"), run=str(tmp_path / "none"))
    (point,) = await collector("system", roots).collect(0)
    assert not {"n_users", "n_unique_users", "n_physical_cpus"} & set(point.fields)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, " 0:00"),
        (59, " 0:00"),
        (3600, " 1:00"),
        (86399, "23:59"),
        (86400, "1 day,  0:00"),
        (172800 + 3660, "2 days,  1:01"),
        (1249636, "14 days, 11:07"),
        (400 * 86400 + 45300, "400 days, 12:35"),
    ],
)
def test_uptimes_are_written_as_telegraf_writes_them(seconds, text):
    assert uptime_format(seconds) == text
