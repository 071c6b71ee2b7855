"""nginx, Apache and php-fpm as Debian ships them tell of themselves; pages that are none of theirs are refused."""

import errno
import socket
from pathlib import Path

import pytest
from parts import daemon, free_port, nginx, require, wait_for, wait_until

from collectors.host import Roots, apache, phpfpm
from collectors.host.nginx import Nginx, Options
from collectors.host.sources import dial

NOW = 1_700_000_000_000_000_000


@pytest.fixture
def web(tmp_path):
    """A real nginx: its status, PHP's status, and pages that are something else."""
    port = free_port()
    config = f"""server {{ listen 127.0.0.1:{port};
        location = /nginx_status {{ stub_status; }}
        location = /slow {{ limit_rate 1; return 200 "{"x" * 100}"; }}
        location = /long {{ return 200 "{"x" * 4000}"; }}
        location = /else {{ return 200 "Selamat datang"; }}
        location = /secret {{ return 403; }}
        location = /broken {{ return 500; }} }}"""
    with nginx(tmp_path / "nginx", config, port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def httpd(tmp_path):
    """A real Apache with its status page; yields its port."""
    binary = require("apache2", "apache2")
    port = free_port()
    config = tmp_path / "apache.conf"
    modules = "".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
        for name in ("mpm_event", "authz_core", "status")
    )
    config.write_text(
        f"""{modules}
        ServerName 127.0.0.1
        ServerRoot {tmp_path}
        Listen 127.0.0.1:{port}
        PidFile {tmp_path}/apache.pid
        ErrorLog {tmp_path}/apache.log
        DefaultRuntimeDir {tmp_path}
        StartServers 1
        ThreadsPerChild 5
        MinSpareThreads 1
        MaxSpareThreads 5
        MaxRequestWorkers 5
        ExtendedStatus On
        <Location /server-status>
        SetHandler server-status
        </Location>
        """
    )
    with daemon([binary, "-X", "-f", config], port=port, log=tmp_path / "apache.out"):
        yield port


@pytest.fixture
def fpm(tmp_path):
    """A real php-fpm with one pool on a socket and one on a port; yields both addresses."""
    found = sorted(file.name for file in Path("/usr/sbin").glob("php-fpm*"))
    binary = require(found[-1] if found else "php-fpm", "php-fpm")
    port = free_port()
    (tmp_path / "php").mkdir()
    config = tmp_path / "fpm.conf"
    pool = "pm = static\npm.max_children = 1\nuser = nobody\ngroup = nogroup\n"
    config.write_text(
        f"[global]\nerror_log = {tmp_path}/fpm.log\n"
        f"[layanan]\nlisten = {tmp_path}/php/layanan.sock\nlisten.mode = 0666\npm.status_path = /status\n{pool}"
        f"[arsip]\nlisten = 127.0.0.1:{port}\npm.status_path = /fpm-arsip\n{pool}"
    )
    with daemon([binary, "-F", "-R", "-n", "-y", config], port=port, log=tmp_path / "fpm.out"):
        wait_for((tmp_path / "php/layanan.sock").exists, what="the socket")
        yield f"{tmp_path}/php/layanan.sock", port


@pytest.mark.real
async def test_nginx_counts_its_requests(web, missing):
    one = Nginx(Options(urls=(f"{web}/nginx_status",)), Roots())
    (first,) = await one.collect(NOW)
    (second,) = await one.collect(NOW + 10)
    assert second.tags == {"server": "127.0.0.1", "port": web.rpartition(":")[2]}
    assert second.fields["requests"] == first.fields["requests"] + 1
    assert second.fields["active"] == second.fields["writing"] == 1
    assert {type(value) for value in second.fields.values()} == {int}
    assert missing([second]) == []


@pytest.mark.real
@pytest.mark.parametrize(
    ("page", "number", "words"),
    [
        ("else", errno.EPROTO, "not the page of nginx's stub_status"),
        ("nowhere", errno.ENOENT, "status 404"),
        ("secret", errno.EACCES, "status 403"),
        ("broken", errno.EPROTO, "status 500"),
    ],
)
async def test_another_page_is_refused_and_named(web, page, number, words):
    with pytest.raises(OSError, match=words) as caught:
        await Nginx(Options(urls=(f"{web}/{page}",)), Roots()).collect(NOW)
    assert caught.value.errno == number
    assert caught.value.filename == f"{web}/{page}"


@pytest.mark.real
async def test_one_server_that_fails_does_not_stop_the_others_and_is_told_once(web, caplog):
    gone = f"http://127.0.0.1:{free_port()}/nginx_status"
    one = Nginx(Options(urls=(gone, f"{web}/nginx_status")), Roots())
    for _ in range(3):
        assert len(await one.collect(NOW)) == 1
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["http"]
    assert "refused" in caplog.text


@pytest.mark.real
async def test_a_page_that_drips_has_an_end(web):
    with pytest.raises(TimeoutError, match=r"no answer within 0\.3 s"):
        await dial.fetch(f"{web}/slow", seconds=0.3)


@pytest.mark.real
async def test_a_page_without_end_is_given_up(web):
    with pytest.raises(OSError, match="longer than 1000 bytes"):
        await dial.fetch(f"{web}/long", seconds=60, most=1000)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"A" * 200_000,
    ],
)
async def test_what_is_not_http_is_an_error(speaking, answer):
    url = f"http://127.0.0.1:{speaking(answer)}/"
    with pytest.raises(OSError, match=r"not HTTP|cut off|reset") as caught:
        await dial.fetch(url, seconds=60)
    assert caught.value.errno in {errno.EPROTO, errno.ECONNRESET}


@pytest.mark.real
async def test_apache_tells_what_its_workers_do(httpd, missing):
    one = apache.Apache(apache.Options(urls=(f"http://127.0.0.1:{httpd}/server-status?auto",)), Roots())
    (first,) = await one.collect(NOW)

    async def counted():
        """A worker counts what it served once it is done with it."""
        (later,) = await one.collect(NOW)
        fields = later.fields
        return (
            later
            if fields["TotalAccesses"] > first.fields["TotalAccesses"] and fields["scboard_sending"] == 1
            else None
        )

    second = await wait_until(counted)
    assert second.tags == {"server": "127.0.0.1", "port": str(httpd)}
    assert sum(value for name, value in second.fields.items() if name.startswith("scboard")) == 5.0
    assert {"TotalkBytes", "BusyWorkers", "IdleWorkers", "Uptime", "ConnsTotal"} <= set(second.fields)
    assert {type(value) for value in second.fields.values()} == {float}
    assert missing([second]) == []


@pytest.mark.real
async def test_apaches_page_for_people_is_refused(httpd):
    one = apache.Apache(apache.Options(urls=(f"http://127.0.0.1:{httpd}/server-status",)), Roots())
    with pytest.raises(OSError, match=r"\?auto"):
        await one.collect(NOW)


@pytest.mark.real
async def test_php_tells_of_a_pool_on_a_socket_and_of_one_on_a_port(fpm, missing):
    path, port = fpm
    urls = (path, f"fcgi://127.0.0.1:{port}/fpm-arsip")
    one = phpfpm.Phpfpm(phpfpm.Options(urls=urls), Roots())
    before = await one.collect(NOW)
    points = await one.collect(NOW)
    assert [point.tags for point in points] == [{"pool": "layanan", "url": path}, {"pool": "arsip", "url": urls[1]}]
    for earlier, point in zip(before, points, strict=True):
        assert point.fields["accepted_conn"] == earlier.fields["accepted_conn"] + 1
    assert set(points[0].fields) == set(phpfpm._FIELDS)
    assert missing(points) == []


@pytest.mark.real
async def test_phps_sockets_are_found(fpm, tmp_path):
    (point,) = await phpfpm.Phpfpm(phpfpm.Options(), Roots(run=str(tmp_path))).collect(NOW)
    assert point.tags["pool"] == "layanan"


@pytest.mark.real
async def test_phps_status_is_read_through_a_web_server_too(fpm, tmp_path):
    port = free_port()
    config = f"""server {{ listen 127.0.0.1:{port}; location = /status {{ fastcgi_pass unix:{fpm[0]};
        fastcgi_param REQUEST_METHOD GET; fastcgi_param QUERY_STRING $query_string;
        fastcgi_param SCRIPT_NAME /status; fastcgi_param SCRIPT_FILENAME /status; }} }}"""
    with nginx(tmp_path / "front", config, port):
        one = phpfpm.Phpfpm(phpfpm.Options(urls=(f"http://127.0.0.1:{port}/status",)), Roots())
        (point,) = await one.collect(NOW)
    assert point.tags["pool"] == "layanan"


@pytest.mark.real
async def test_a_pool_without_a_status_page_is_explained(fpm):
    one = phpfpm.Phpfpm(phpfpm.Options(urls=(f"{fpm[0]}:/other",)), Roots())
    with pytest.raises(FileNotFoundError, match=r"pm\.status_path"):
        await one.collect(NOW)


async def test_a_host_without_php_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no socket of php-fpm"):
        await phpfpm.Phpfpm(phpfpm.Options(), Roots(run=str(tmp_path))).collect(NOW)


@pytest.mark.parametrize(
    ("options", "urls"),
    [
        (Options, ("https://127.0.0.1/nginx_status",)),
        (Options, ("http:///nginx_status",)),
        (apache.Options, ("127.0.0.1",)),
        (phpfpm.Options, ("run/php.sock",)),
        (phpfpm.Options, ("fcgi://127.0.0.1/status",)),
    ],
)
def test_addresses_that_cannot_be_read_are_refused_at_once(options, urls):
    with pytest.raises(ValueError, match="expected"):
        options(urls=urls)


async def test_a_server_that_never_answers_costs_its_deadline_only():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/nginx_status"
        with pytest.raises(TimeoutError, match="no answer within"):
            await Nginx(Options(urls=(url,)), Roots(), seconds=0.2).collect(NOW)
