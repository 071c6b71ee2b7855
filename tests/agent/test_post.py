import socket
import ssl
import threading
import time
import zlib
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from parts import wait_for

from agent.post import Endpoint, Options, Unreachable, why_not_url
from configs.secret import Secret
from configs.units import Duration

BODY = zlib.compress(b"m n=1i 1\n", wbits=31)


@pytest.fixture
def post(centre):
    """Post to the centre with other options; closes everything."""
    made = []

    def build(**options):
        made.append(Endpoint(centre.output(**options)))
        return made[-1].post

    yield build
    for endpoint in made:
        endpoint.close()


def test_it_writes_as_influxdb_2_wants_it(centre, post, tmp_path):
    (tmp_path / "token").write_text("s3cret\n")
    token = Secret("file", str(tmp_path / "token"))
    assert post(org="Kota A", bucket="b/1", token=token)(BODY).status == 204
    path, headers, lines, _ = centre.requests[0]
    assert path == "/api/v2/write?org=Kota%20A&bucket=b%2F1&precision=ns"
    assert headers["Authorization"] == "Token s3cret"
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Host"] == f"127.0.0.1:{centre.port}"
    assert headers["User-Agent"].startswith("pantau-agent/")
    assert lines == [b"m n=1i 1"]


def test_it_writes_as_influxdb_1_wants_it(centre, post, tmp_path):
    (tmp_path / "token").write_text("s3cret")
    post(api="v1", bucket="telegraf", user="agent", token=Secret("file", str(tmp_path / "token")))(BODY)
    path, headers, _, _ = centre.requests[0]
    assert path == "/write?db=telegraf&precision=ns"
    assert headers["Authorization"] == "Basic YWdlbnQ6czNjcmV0"


def test_a_path_before_the_write_path_is_kept(centre):
    endpoint = Endpoint(Options(url=centre.url + "/influx/"))
    endpoint.post(BODY)
    endpoint.close()
    assert centre.requests[0][0].startswith("/influx/api/v2/write?")


def test_the_token_is_read_again_each_time(centre, post, tmp_path):
    file = tmp_path / "token"
    send = post(token=Secret("file", str(file)))
    with pytest.raises(Unreachable, match="cannot read the secret file") as caught:
        send(BODY)
    assert caught.value.ours
    for value in ("one", "two"):
        file.write_text(value)
        send(BODY)
    assert [headers["Authorization"] for _, headers, _, _ in centre.requests] == ["Token one", "Token two"]


def test_the_connection_is_kept_and_made_anew_when_the_other_side_closed_it(centre, post):
    send = post()
    for _ in range(3):
        send(BODY)
    assert len({port for *_, port in centre.requests}) == 1
    centre.hang_up()
    assert send(BODY).status == 204
    centre.vanish()
    centre.start()
    assert send(BODY).status == 204
    assert len({port for *_, port in centre.requests}) == 3


@pytest.mark.parametrize("mood", ["hang", "drip"])
def test_the_timeout_bounds_the_whole_exchange(centre, post, mood):
    centre.mood = mood
    began = time.monotonic()
    with pytest.raises(Unreachable, match="no answer in time"):
        post(timeout=Duration(0.5))(BODY)
    assert time.monotonic() - began < 9


@pytest.mark.parametrize("mood", ["reset", "vanished"])
def test_no_answer_is_said_plainly(centre, post, mood):
    centre.mood = mood
    if mood == "vanished":
        centre.vanish()
    with pytest.raises(Unreachable, match=r"Connection (reset by peer|refused)|RemoteDisconnected"):
        post()(BODY)


def test_a_name_that_nobody_knows_is_unreachable():
    with pytest.raises(Unreachable):
        Endpoint(Options(url="http://pantau.invalid", timeout=Duration(3))).post(BODY)


def test_when_names_cannot_be_resolved_the_address_that_worked_last_is_used(centre, post, monkeypatch):
    send = post()
    send(BODY)
    centre.hang_up()

    def gone(*_, **__):
        raise OSError(-3, "Temporary failure in name resolution")

    monkeypatch.setattr("agent.post.socket.getaddrinfo", gone)
    assert send(BODY).status == 204


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("-5", -5.0),
        ("1000000000", 1e9),
        ("Thu, 01 Jan 2026 00:02:00 GMT", 120.0),
        ("9" * 400, float("inf")),
        ("9" * 5000, None),
        ("1.5", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_read_in_both_forms(centre, post, text, seconds):
    centre.mood = (503, {"Retry-After": text}, "")
    answer = post()(BODY)
    assert answer.status == 503
    if seconds is None or "GMT" not in text:
        assert answer.retry_after == seconds
    else:
        assert answer.retry_after is not None  # against the other side's clock, which the test server sets itself


def test_the_other_side_s_clock_is_read(centre, post):
    before = time.time()
    answer = post()(BODY)
    assert before - 1 <= answer.date / 1000 <= time.time()  # whole seconds


def test_a_web_page_is_recognised_and_a_long_answer_is_not_read_to_its_end(centre, post):
    centre.mood = (200, {"Content-Type": "text/html"}, "<html>" + "x" * 500_000)
    answer = post()(BODY)
    assert answer.html
    assert len(answer.text) <= 500
    centre.mood = "ok"
    assert post()(BODY).status == 204


@pytest.mark.parametrize("mood", ["ok", "drip"])
def test_over_tls_the_certificate_is_checked_and_the_timeout_holds(centre, certificate, mood):
    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = centre._server.socket
    centre._server.socket = context.wrap_socket(server, server_side=True)
    url = f"https://localhost:{centre.port}"
    stranger = Endpoint(Options(url=url, timeout=Duration(30)))
    with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
        stranger.post(BODY)
    centre.mood = mood
    endpoint = Endpoint(Options(url=url, ca=str(cert), timeout=Duration(30 if mood == "ok" else 1)))
    if mood == "ok":
        assert [endpoint.post(BODY).status for _ in range(2)] == [204, 204]
        assert len({port for *_, port in centre.requests}) == 1
        # Python 3.13, that of the packages, would refuse what an office's own authority signs without naming its key
        assert not endpoint._connection._context.verify_flags & ssl.VERIFY_X509_STRICT
    else:
        with pytest.raises(Unreachable, match="no answer in time"):
            endpoint.post(BODY)
    endpoint.close()


@pytest.mark.parametrize("date", ["Thu, 99 Foo 2026", "0", "", "Fri, 31 Dec 9999 23:59:59 -2359", "x" * 1000])
def test_a_date_that_is_none_is_no_obstacle(centre, post, date):
    centre.mood = (204, {"Date": date, "Retry-After": date}, "")
    assert post()(BODY).status == 204


def expired(folder):
    """Make a certificate for localhost that ended long ago."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2021, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "key.pem", folder / "cert.pem"


def test_a_certificate_that_expired_keeps_everything_and_is_said_plainly(centre, tmp_path):
    key, cert = expired(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    centre._server.socket = context.wrap_socket(centre._server.socket, server_side=True)
    endpoint = Endpoint(Options(url=f"https://localhost:{centre.port}", ca=str(cert), timeout=Duration(30)))
    with pytest.raises(Unreachable, match="certificate has expired"):
        endpoint.post(BODY)
    assert centre.requests == []


def test_a_centre_that_speaks_ipv6_only_is_reached():
    with socket.socket(socket.AF_INET6) as listener:
        try:
            listener.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6: sysctl net.ipv6.conf.lo.disable_ipv6=0")
        listener.listen()
        answer = threading.Thread(target=answer_once, args=(listener,))
        answer.start()
        endpoint = Endpoint(Options(url=f"http://[::1]:{listener.getsockname()[1]}", timeout=Duration(30)))
        assert endpoint.post(BODY).status == 204
        endpoint.close()
        answer.join(30)


def answer_once(listener):
    connection = listener.accept()[0]
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    connection.close()


def test_a_network_that_swallows_large_bodies_costs_the_timeout_only():
    """Simulated black hole (MTU, firewall): the other side accepts and never reads."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        endpoint = Endpoint(Options(url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=Duration(0.5)))
        began = time.monotonic()
        with pytest.raises(Unreachable, match="no answer in time"):
            endpoint.post(bytes(20_000_000))
        assert time.monotonic() - began < 15


def test_an_idle_connection_that_a_router_forgot_costs_one_try(centre, post):
    """Simulated: the connection is open on this side and dead on the other."""
    send = post(timeout=Duration(2))
    send(BODY)
    centre.mood = "hang"
    with pytest.raises(Unreachable, match="no answer in time"):
        send(BODY)
    centre.mood = "ok"
    assert send(BODY).status == 204
    assert len({port for *_, port in centre.requests}) == 2


def test_a_post_under_way_can_be_cut_from_another_thread(centre, post):
    centre.mood = "hang"
    endpoint = Endpoint(centre.output())
    failed = []

    def send():
        try:
            endpoint.post(BODY)
        except Unreachable as error:
            failed.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    wait_for(lambda: centre.requests, 5, "the request")
    endpoint.abort()
    thread.join(20)
    assert failed
    assert len(centre.requests) == 1


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("https://pantau.example.go.id", ""),
        ("http://[::1]:8086/influx", ""),
        ("pantau.example.go.id", "expected an address"),
        ("ftp://pantau.example.go.id", "expected an address"),
        ("http://a:b@pantau.example.go.id", "does not belong into the address"),
        ("http://pantau.example.go.id/?db=x", "must end with its path"),
        ("http://pantau.example.go.id:99999", "out of range"),
    ],
)
def test_an_address_is_checked_before_it_is_used(url, wrong):
    assert wrong in why_not_url(url)
    assert bool(why_not_url(url)) is bool(wrong)


HOSTILE = "a\x1b[31mred\x1b]52;c;QQ==\x07 \x9b1A\u202etxt\x00\x7f\nsecond line"
HARMLESS = "a?[31mred?]52;c;QQ==? ?1A?txt?? second line"


def test_words_of_a_server_hold_nothing_that_a_terminal_obeys(centre, post):
    centre.mood = (500, {"X-Pantau-Version": "1.2\x1b[2J"}, "x" * 300 + HOSTILE + "é")
    answer = post()(BODY)
    assert answer.text == "x" * 300 + HARMLESS + "é"
    assert answer.version == "1.2?[2J"


def test_a_status_line_that_is_none_is_shown_without_control_characters():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            with server.accept()[0] as connection:
                connection.recv(4096)
                connection.sendall(b"SSH-2.0 \x1b[2J\x07\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        endpoint = Endpoint(Options(url=f"http://127.0.0.1:{server.getsockname()[1]}"))
        with pytest.raises(Unreachable, match=r"BadStatusLine: SSH-2\.0 \?\[2J\?$"):
            endpoint.post(BODY)
        endpoint.close()
        thread.join()
