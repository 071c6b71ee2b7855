"""Access logs of real nginx and Apache, and every way in which a log is rotated: each line counts once."""

import gzip
import http.client
import json
import os
import shutil
import stat
import time
from pathlib import Path

import pytest
from parts import daemon, free_port, nginx, require, wait_for

from collectors.host import Roots
from collectors.host.sources import logformat
from collectors.host.sources.visitors import Sketch
from collectors.host.weblog import Options, Weblog
from configs.units import Size

NOW = 1_700_000_000_000_000_000
SECOND = 10**9
DAY = 86_400 * SECOND


def line(number=1, host="portal", status=200, agent="Firefox"):
    return (
        f'{host}:443 10.0.{number // 250}.{number % 250} - - [14/Nov/2023:22:13:20 +0000] "GET /{number} HTTP/1.1" '
        f'{status} 100 "-" "{agent}" 2500\n'
    )


class Site:
    """A log, the collector that reads it, and a clock of 10 s steps."""

    def __init__(self, folder, **options):
        self.log = folder / "access.log"
        self.log.touch()
        self.options = Options(files=(str(self.log),), **options)
        self.roots = Roots(state=str(folder))
        self.turn = 0
        self.one = Weblog(self.options, self.roots)

    def write(self, *lines):
        with self.log.open("a") as file:
            file.writelines(lines)

    async def points(self):
        self.turn += 1
        return await self.one.collect(NOW + self.turn * 10 * SECOND)

    async def hosts(self):
        return {p.tags["vhost"]: p.fields for p in await self.points() if p.measurement == "weblog"}

    async def requests(self, host="portal"):
        return (await self.hosts()).get(host, {}).get("requests", 0)

    async def file(self):
        return next(p.fields for p in await self.points() if p.measurement == "weblog_file")

    def restart(self):
        self.one = Weblog(self.options, self.roots)


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


async def test_it_begins_at_the_end_and_counts_what_comes(site):
    site.write(line(1))
    assert await site.hosts() == {}
    site.write(line(1), line(2, status=404), line(2, status=503), line(3, host="antrian"))
    told = await site.hosts()
    assert {name: told["portal"][name] for name in ("requests", "bytes", "status_2xx", "status_4xx", "status_5xx")} == {
        "requests": 3, "bytes": 300, "status_2xx": 1, "status_4xx": 1, "status_5xx": 1,
    }  # fmt: skip
    assert (told["portal"]["visitors"], told["antrian"]["visitors"]) == (2, 1)
    assert told["portal"]["request_time_sum"] == pytest.approx(0.0075)
    assert told["portal"]["request_time_le_10ms"] == told["portal"]["request_time_count"] == 3


async def test_half_a_line_waits_for_its_other_half(site):
    await site.points()
    whole = line(1)
    site.write(whole[:30])
    assert await site.requests() == 0
    site.write(whole[30:])
    assert await site.requests() == 1


@pytest.mark.parametrize("rotated", ["access.log.1", "access.log-20231114"])
async def test_rename_and_create_loses_and_doubles_nothing_though_the_server_writes_on_for_a_while(site, rotated):
    await site.points()
    site.write(line(1), line(2))
    assert await site.requests() == 2
    with site.log.open("a") as server:
        server.write(line(3))
        site.log.rename(site.log.with_name(rotated))
        server.write(line(4))
        server.flush()
        assert await site.requests() == 4  # nobody has created the new one yet
        site.log.touch()
        site.write(line(5))
        server.write(line(6))
        server.flush()
        assert await site.requests() == 6
        server.write(line(7))
    assert await site.requests() == 7


async def test_a_reading_between_renaming_and_creating_loses_nothing_where_files_are_a_pattern(site, tmp_path):
    site.options = Options(files=(f"{tmp_path}/*.log",))
    site.restart()
    await site.points()
    site.write(line(1))
    site.log.rename(f"{site.log}.1")
    assert await site.requests() == 1
    site.log.write_text(line(2))
    assert await site.requests() == 2


async def test_a_log_that_was_removed_is_let_go_and_found_again(site):
    await site.points()
    site.write(line(1))
    site.log.unlink()
    for _ in range(6):
        assert await site.requests() == 1
    with pytest.raises(FileNotFoundError, match=r"access\.log"):
        await site.points()
    held = [os.path.realpath(name) for name in Path("/proc/self/fd").iterdir()]
    assert not [path for path in held if str(site.log) in path]
    site.log.write_text(line(2))
    assert await site.requests() == 2


async def test_rename_and_packing_at_once_loses_nothing(site):
    await site.points()
    site.write(line(1))
    assert await site.requests() == 1
    site.write(line(2), line(3))
    with gzip.open(f"{site.log}.1.gz", "wb") as packed:
        packed.write(site.log.read_bytes())
    site.log.unlink()
    site.log.write_text(line(4))
    assert await site.requests() == 4


async def test_copytruncate_loses_and_doubles_nothing(site):
    await site.points()
    site.write(line(1), line(2))
    assert await site.requests() == 2
    site.write(line(3))
    shutil.copy(site.log, f"{site.log}.1")
    os.truncate(site.log, 0)
    site.write(line(4))
    assert await site.requests() == 4
    assert await site.requests() == 4


async def test_truncated_and_already_longer_than_before_is_noticed(site):
    await site.points()
    site.write(line(1))
    assert await site.requests() == 1
    os.truncate(site.log, 0)
    site.write(*(line(number) for number in range(10, 15)))
    assert await site.requests() == 6


async def test_an_inode_used_again_is_a_new_file(site):
    await site.points()
    site.write(line(1), line(2))
    assert await site.requests() == 2
    await site.points()
    with site.log.open("r+") as file:  # as good as the same inode: other bytes, longer than what was read
        file.write("".join(line(number, host="baru") for number in range(20, 25)))
    assert await site.requests("baru") == 5


async def test_packed_and_rotated_files_are_left_alone(tmp_path):
    for name in ("access.log", "access.log.1", "access.log.2.gz", "access.log-20231113"):
        (tmp_path / name).write_text(line(1))
    one = Weblog(Options(files=(f"{tmp_path}/access.log*",)), Roots())
    (point,) = await one.collect(NOW)
    assert point.tags == {"file": f"{tmp_path}/access.log"}


async def test_a_restart_loses_and_doubles_nothing_with_and_without_a_rotation_meanwhile(site):
    await site.points()
    site.write(line(1))
    await site.points()
    site.write(line(2))
    before = await site.hosts()
    site.restart()
    assert await site.hosts() == before
    await site.points()
    site.write(line(3))
    site.log.rename(f"{site.log}.1")
    site.log.write_text(line(4))
    site.restart()
    after = await site.hosts()
    assert after["portal"]["requests"] == 4
    assert after["portal"]["visitors"] == 4


async def test_what_is_kept_names_no_visitor_and_is_read_by_nobody_else(site, tmp_path):
    await site.points()
    site.write(line(1))
    await site.points()
    (kept,) = tmp_path.glob("*.state")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert b"10.0.0.1" not in kept.read_bytes()


async def test_without_a_folder_for_it_nothing_is_kept(site, tmp_path):
    site.roots = Roots()
    site.restart()  # as the doctor beside a running agent
    await site.points()
    site.write(line(1))
    assert await site.requests() == 1
    assert [file.name for file in tmp_path.iterdir()] == ["access.log"]


async def test_a_folder_that_cannot_be_written_is_told_once(site, tmp_path, caplog):
    site.roots = Roots(state=str(tmp_path / "nowhere"))
    site.restart()
    for _ in range(3):
        await site.points()
        site.write(line(1))
    assert caplog.text.count("a restart will forget") == 1


async def test_a_broken_state_file_is_begun_anew(site, tmp_path, caplog):
    for _ in range(3):
        await site.points()
        site.write(line(1))
    (kept,) = tmp_path.glob("*.state")
    kept.write_bytes(b"\xc1 not msgpack")
    site.restart()
    await site.points()
    assert "it begins anew" in caplog.text


async def test_a_burst_is_read_in_bounded_portions_and_what_is_too_far_behind_is_skipped_and_counted(tmp_path):
    site = Site(tmp_path, max_bytes=Size(300_000), max_behind=Size(1_000_000))
    await site.points()
    text = line(1)
    count = 40_000  # 4 MB between two readings
    site.write(text * count)
    first = await site.file()
    assert first["skipped_bytes"] + first["behind_bytes"] + 300_000 == pytest.approx(len(text) * count, abs=300_000)
    assert first["skipped_bytes"] > 2_500_000
    for _ in range(12):
        told = await site.file()
    assert told["behind_bytes"] == 0
    assert told["lines"] + told["skipped_bytes"] // len(text) == pytest.approx(count, abs=2)
    assert await site.requests() == pytest.approx(told["lines"], abs=1)


async def test_a_gigabyte_behind_costs_a_bounded_reading(site):
    await site.points()
    os.truncate(site.log, 1 << 30)  # a hole: no bytes on the disk
    began = time.process_time()
    told = await site.file()
    assert told["skipped_bytes"] == (1 << 30) - (64 << 20)
    assert time.process_time() - began < 5


async def test_bytes_that_are_no_text_and_lines_without_sense_are_counted_not_fatal(site):
    await site.points()
    with site.log.open("ab") as file:
        file.write(
            b"\xff\xfe\x00 rubbish\n"
            + b"\0" * 50
            + line(1).encode()
            + line(2).encode().replace(b"Firefox", b"\xff\x80")
        )
        file.write(b"x" * 200_000 + b"\n" + line(3).encode())
    told = await site.file()
    assert told["bad_lines"] in {2, 3, 4, 5}
    assert await site.requests() == 3


async def test_made_up_host_names_end_among_the_others_and_a_busy_one_gets_the_place_of_an_idle_one(tmp_path):
    site = Site(tmp_path, max_hosts=3)
    await site.points()
    site.write(line(1), *(line(number, host=f"acak{number}.example") for number in range(2000)))
    site.write(line(1, host="a b"), line(1, host="x" * 300))
    told = await site.hosts()
    assert set(told) == {"portal", "acak0.example", "acak1.example", "other"}
    assert told["other"]["requests"] == 2000
    site.turn += 400
    site.write(line(1), *(line(number, host="layanan") for number in range(5)))
    await site.points()
    site.write(line(7, host="layanan"))
    told = await site.hosts()
    assert len(told) == 4
    assert told["layanan"]["requests"] == 1


async def test_visitors_are_counted_anew_each_day_with_another_salt(site):
    await site.points()
    site.write(line(1), line(2), line(1))
    assert (await site.hosts())["portal"]["visitors"] == 2
    salt = site.one._state.salt
    site.turn += 8640
    site.write(line(1))
    told = (await site.hosts())["portal"]
    assert (told["visitors"], told["requests"]) == (1, 4)
    assert site.one._state.salt != salt


async def test_pantaus_own_looks_are_no_visits(site):
    await site.points()
    site.write(line(1, agent="Pantau/1 (uptime check)"), line(2))
    assert await site.requests() == 1


@pytest.mark.parametrize("count", [0, 1, 3, 40, 1000, 20_000])
def test_the_sketch_is_near_the_truth_and_can_be_kept(count):
    sketch = Sketch()
    for number in range(count):
        for _ in range(2):
            sketch.add(f"10.0.{number}", b"garam")
    assert Sketch(sketch.packed()).count() == pytest.approx(count, rel=0.05)


COMBINED = '10.0.0.9 - budi [14/Nov/2023:22:13:20 +0000] "GET /\\"a HTTP/1.1" 301 512 "https://a/" "Fire \\"fox"'


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("auto", COMBINED, (301, 512, None, "", "10.0.0.9", 'Fire \\"fox')),
        ("auto", COMBINED + " 0.250", (301, 512, 0.25, "", "10.0.0.9", 'Fire \\"fox')),
        ("auto", COMBINED + " 0.250 0.249", (301, 512, 0.25, "", "10.0.0.9", 'Fire \\"fox')),
        ("auto", COMBINED + ' "-"', (301, 512, None, "", "10.0.0.9", 'Fire \\"fox')),
        ("auto", COMBINED + ' "203.0.113.7, 10.0.0.1"', (301, 512, None, "", "203.0.113.7", 'Fire \\"fox')),
        ("auto", COMBINED + " kota.id 1.5", (301, 512, 1.5, "kota.id", "10.0.0.9", 'Fire \\"fox')),
        ("auto", f"kota.id:443 {COMBINED}", (301, 512, None, "kota.id", "10.0.0.9", 'Fire \\"fox')),
        ("auto", f"kota.id:443 {COMBINED} 1500", (301, 512, 0.0015, "kota.id", "10.0.0.9", 'Fire \\"fox')),
        ("auto", COMBINED.replace("10.0.0.9", "2001:db8::1"), (301, 512, None, "", "2001:db8::1", 'Fire \\"fox')),
        ("auto", '1.2.3.4 - - [x] "-" 400 -', (400, 0, None, "", "1.2.3.4", "")),
        ("auto", '{"status": "200", "host": "a", "bytes_sent": 7, "request_time": "0.1", "remote_addr": "1.1.1.1"}',
         (200, 7, 0.1, "a", "1.1.1.1", "")),
        ("json", '{"status": 200, "request_time": "nan"}', None),
        ("json", '{"status": 200, "x_forwarded_for": "203.0.113.7", "remote_addr": "10.0.0.1"}',
         (200, 0, None, "", "203.0.113.7", "")),
        ("json", '{"status": {}}', None),
        ("json", "[1]", None),
        ("$host|$status|$request_time|$bytes_sent|$uri", "a.id|204|0.5|9|/x", (204, 9, 0.5, "a.id", "", "")),
        ("%v %a %>s %B %{ms}T", "a.id 1.1.1.1 200 5 250", (200, 5, 0.25, "a.id", "1.1.1.1", "")),
        ("combined", "rubbish", None),
    ],
)  # fmt: skip
def test_formats_are_read(name, text, expected):
    read = [request for reader in logformat.readers(name) if (request := reader(text))][:1]
    assert read == ([] if expected is None else [logformat.Request(*expected)])


@pytest.mark.parametrize(
    ("name", "unit", "end", "seconds"),
    [
        ("auto", "", " 48211", None),  # of Apache's %D, Tomcat's milliseconds or whole seconds: nobody knows
        ("auto", "us", " 48211", 0.048211),
        ("auto", "ms", " 48", 0.048),
        ("auto", "s", " 2", 2.0),
        ("auto", "ms", " 0.250", 0.25),
        ("combined_time", "", " 48211", "a bad line"),
        ("combined_time", "us", " 48211", 0.048211),
        ("combined_host_time", "ms", " kota.id 40", 0.04),
        ('%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %D', "", " 48211", 0.048211),
        ('%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %{ms}T', "", " 40", 0.04),
        ('%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %T', "", " 3", 3.0),
        ('%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %T', "ms", " 3", 3.0),
    ],
)
def test_a_whole_number_is_a_time_only_where_its_unit_is_named(name, unit, end, seconds):
    read = [request for reader in logformat.readers(name, unit) if (request := reader(COMBINED + end))][:1]
    if seconds == "a bad line":
        assert read == []
    else:
        assert (len(read), read[0].status) == (1, 301)
        assert read[0].seconds == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("unit", "told", "seconds"),
    [
        ("", '"duration": 12', None),
        ("", '"duration": 0.0123', 0.0123),
        ("", '"request_time": "1.500"', 1.5),
        ("ms", '"request_time": 40', 0.04),
        ("us", '"request_time": "1500"', 0.0015),
        ("ns", '"duration": 12000000', 0.012),
        ("ms", '"duration": "-"', None),
    ],
)
def test_a_whole_number_in_json_is_a_time_only_where_its_unit_is_named(unit, told, seconds):
    (reader,) = logformat.readers("json", unit)
    read = reader(f'{{"status": 200, {told}}}')
    assert read.seconds == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("user", ["budi", "Budi Santoso", "dinas pu kota", "a [b] c", r"x\" y", "-", ""])
@pytest.mark.parametrize("name", ["auto", "combined", "common"])
def test_names_of_users_may_hold_blanks(user, name):
    text = COMBINED.replace("budi", user)
    read = [request for reader in logformat.readers(name) if (request := reader(text))][:1]
    assert [(one.status, one.bytes, one.address) for one in read] == [(301, 512, "10.0.0.9")]


def test_a_line_made_to_be_slow_is_read_in_time():
    began = time.process_time()
    for text in ("1.1.1.1 - " + " [a" * 20_000, "1.1.1.1 - " + ' [] "' * 13_000):
        assert not [reader for reader in logformat.readers("auto") if reader(text)]
    assert time.process_time() - began < 5


CADDY = {
    "level": "info",
    "logger": "http.log.access.log1",
    "request": {
        "remote_ip": "10.9.0.2",
        "client_ip": "203.0.113.9",
        "host": "layanan.kota.example",
        "headers": {"User-Agent": ["Mozilla/5.0 (uji)"], "X-Empty": []},
    },
    "duration": 0.002,
    "size": 77,
    "status": 404,
}


def test_json_of_caddy_tells_who_asked_which_host_for_it():
    expected = logformat.Request(404, 77, 0.002, "layanan.kota.example", "203.0.113.9", "Mozilla/5.0 (uji)")
    for name in ("auto", "json"):
        assert logformat.readers(name)[0](json.dumps(CADDY)) == expected


@pytest.mark.parametrize(
    ("request_told", "expected"),
    [
        ({"remote_ip": "10.9.0.2", "host": "a.id"}, ("a.id", "10.9.0.2", "")),
        ({"host": "a.id", "headers": {"User-Agent": []}}, ("a.id", "", "")),
        ({"host": {"name": "a.id"}, "remote_ip": None}, ("", "", "")),
        ("GET / HTTP/1.1", ("", "", "")),
        (None, ("", "", "")),
        (
            {"remote_ip": "10.0.0.1", "headers": {"X-Forwarded-For": ["198.51.100.4, 10.0.0.1"]}},
            ("", "198.51.100.4", ""),
        ),
    ],
)
def test_what_json_of_another_shape_lacks_is_left_empty(request_told, expected):
    (reader,) = logformat.readers("json")
    read = reader(json.dumps({"status": 200, "request": request_told}))
    assert (read.host, read.address, read.agent) == expected


@pytest.mark.parametrize("name", ["apache", "$host $uri", ""])
def test_a_format_that_is_none_is_refused_at_once(name):
    with pytest.raises(ValueError, match=r"expected one of auto, json, .*combined.* \$status"):
        Options(format=name)


async def test_a_host_without_logs_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no access log here"):
        await Weblog(Options(), Roots(var=str(tmp_path))).collect(NOW)


async def test_folders_that_may_not_be_read_are_told_as_such_not_as_empty(tmp_path, monkeypatch, caplog):
    secret, listdir = str(tmp_path / "log/apache2"), os.listdir

    def refusing(path):
        if path == secret:
            raise PermissionError(13, "Permission denied", path)
        return listdir(path)

    monkeypatch.setattr("os.listdir", refusing)  # the tests may run as root
    for _ in range(2):
        with pytest.raises(PermissionError, match="apache2"):
            await Weblog(Options(), Roots(var=str(tmp_path))).collect(NOW)
    (tmp_path / "log/nginx").mkdir(parents=True)
    (tmp_path / "log/nginx/access.log").touch()
    one = Weblog(Options(), Roots(var=str(tmp_path)))
    for _ in range(3):
        assert len(await one.collect(NOW)) == 1
    assert caplog.text.count("apache2 is left out") == 1


def get(port, host, agent="Uji"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/", headers={"Host": host, "User-Agent": agent})
    connection.getresponse().read()
    connection.close()


@pytest.mark.real
async def test_a_real_nginx_rotated_as_logrotate_does_it(tmp_path):
    log, port = tmp_path / "access.log", free_port()
    form = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer"'
    config = f"""log_format kota '{form} "$http_user_agent" $host $request_time';
        server {{ listen 127.0.0.1:{port}; server_name a.example b.example; access_log {log} kota;
        location / {{ return 200 "ok"; }} }}"""
    with nginx(tmp_path / "nginx", config, port) as server:
        one = Weblog(Options(files=(str(log),)), Roots())
        await one.collect(NOW)
        seen = log.read_text().count("\n")
        for host in ("a.example", "a.example", "b.example"):
            get(port, host)
        wait_for(lambda: log.read_text().count("\n") == seen + 3)
        await one.collect(NOW)
        log.rename(f"{log}.1")
        get(port, "a.example", "Lain")
        server.send_signal(10)  # SIGUSR1: open the logs again
        wait_for(log.exists)
        get(port, "b.example")
        wait_for(lambda: log.read_text().count("\n") == 1)
        told = {p.tags.get("vhost"): p.fields for p in await one.collect(NOW)}
    assert (told["a.example"]["requests"], told["a.example"]["visitors"]) == (3, 2)
    assert (told["b.example"]["requests"], told["b.example"]["visitors"]) == (2, 1)
    assert told["a.example"]["request_time_count"] == told["a.example"]["status_2xx"] == 3


@pytest.mark.real
@pytest.mark.parametrize("duration", ["", " %D"])
async def test_a_real_apaches_vhost_combined(tmp_path, duration):
    binary, port, log = require("apache2", "apache2"), free_port(), tmp_path / "other_vhosts_access.log"
    names = ("mpm_event", "authz_core")
    modules = "".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n" for name in names)
    form = r"%v:%p %h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"".replace("%O", "%B") + duration
    (tmp_path / "apache.conf").write_text(
        f"{modules}ServerName a.example\nServerRoot {tmp_path}\nListen 127.0.0.1:{port}\nPidFile {tmp_path}/pid\n"
        f'ErrorLog {tmp_path}/error.log\nDefaultRuntimeDir {tmp_path}\nCustomLog {log} "{form}"\n'
        f"<VirtualHost *:{port}>\nServerName a.example\n</VirtualHost>\n"
        f"<VirtualHost *:{port}>\nServerName b.example\n</VirtualHost>\n"
    )
    with daemon([binary, "-X", "-f", tmp_path / "apache.conf"], port=port, log=tmp_path / "out"):
        one = Weblog(Options(files=(str(log),)), Roots())
        await one.collect(NOW)
        seen = log.read_text().count("\n")
        get(port, "a.example")
        get(port, "b.example:80", 'Aneh "sekali"')
        wait_for(lambda: log.read_text().count("\n") == seen + 2)
        told = {p.tags.get("vhost"): p.fields for p in await one.collect(NOW)}
    assert {"a.example", "b.example"} <= set(told)
    assert told["b.example"]["requests"] == told["b.example"]["visitors"] == 1
    assert ("request_time_count" in told["b.example"]) == bool(duration)
    assert Path(log).exists()
