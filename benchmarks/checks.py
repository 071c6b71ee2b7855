"""What one check costs beside bare aiohttp, measured in one run against one nginx on this machine.

    python benchmarks/checks.py [RUNS]

CPU of this process per run, back to back and paced (20 ms apart), of: aiohttp with a new session each time, the http check,
the same over TLS (with certificates looked at), and the tcp and tls checks. The ratio to aiohttp is what counts.
"""

import asyncio
import datetime as dt
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from collectors.checks import Target, http, tcp, tls
from collectors.checks.engines import trust

PLAIN, SECURE = 18480, 18443
PAUSE = 0.02
NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; events {{ worker_connections 256; }}
http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{plain}; location / {{ return 200 "Selamat datang di layanan kota"; }} }}
  server {{ listen 127.0.0.1:{secure} ssl; ssl_certificate {folder}/pem; ssl_certificate_key {folder}/key;
    location / {{ return 200 "Selamat datang di layanan kota"; }} }} }}
"""

Once = Callable[[], Awaitable[object]]


@contextmanager
def nginx() -> Iterator[Path]:
    """Run nginx with a self-signed certificate; yields its folder, the certificate is ``pem`` in it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "90"]
        subprocess.run(
            [*key, *names, "-keyout", folder / "key", "-out", folder / "pem"], check=True, capture_output=True
        )
        (folder / "conf").write_text(NGINX.format(folder=folder, plain=PLAIN, secure=SECURE))
        process = subprocess.Popen(["/usr/sbin/nginx", "-c", folder / "conf"], stderr=subprocess.DEVNULL)
        try:
            time.sleep(0.5)
            yield folder
        finally:
            process.terminate()
            process.wait(10)


async def measure(once: Once, runs: int, pause: float) -> float:
    """Return the CPU of one run in microseconds."""
    spent = 0.0
    for _ in range(runs):
        before = time.process_time()
        await once()
        spent += time.process_time() - before
        if pause:
            await asyncio.sleep(pause)
    return spent / runs * 1e6


def candidates(ca: str) -> dict[str, Once]:
    """Return what is compared, by its name; aiohttp comes first."""
    target = Target("bench", "service/bench", 5.0)
    at = int(dt.datetime.now(dt.UTC).timestamp() * 1000)  # noqa: TID251 - a script's own clock
    secure = trust.context(ca, verify=True, alpn="http/1.1")

    def bare(url: str, **options: object) -> Once:
        async def once() -> None:
            async with aiohttp.ClientSession() as session, session.get(url, **options) as response:  # type: ignore[arg-type]
                await response.read()

        return once

    def check(made: http.Http | tcp.Tcp | tls.Tls) -> Once:
        async def once() -> None:
            result = await made.run(at)
            if result.status != "up":
                sys.exit(f"not up: {result}")

        return once

    page = {"body_present": "Selamat", "body_absent": "Fatal error"}
    plain, safe = f"http://127.0.0.1:{PLAIN}/", f"https://localhost:{SECURE}/"
    return {
        "aiohttp": bare(plain),
        "http check": check(http.Http(target, http.Options(url=plain, **page))),
        "tcp check": check(tcp.Tcp(target, tcp.Options(host="127.0.0.1", port=PLAIN))),
        "aiohttp, TLS": bare(safe, ssl=secure),
        "http check, TLS": check(http.Http(target, http.Options(url=safe, ca_file=ca, **page))),
        "tls check": check(tls.Tls(target, tls.Options(host="localhost", port=SECURE, ca_file=ca))),
    }


async def compare(ca: str, runs: int) -> None:
    compared = candidates(ca)
    for once in compared.values():
        await measure(once, 20, 0)
    for title, pause, count in (("back to back", 0.0, runs), ("paced, 20 ms apart", PAUSE, max(50, runs // 5))):
        print(f"\n{title}, {count} runs each")
        figures = {name: await measure(once, count, pause) for name, once in compared.items()}
        for name, figure in figures.items():
            against = figures["aiohttp, TLS" if "TLS" in name or name == "tls check" else "aiohttp"]
            print(f"  {name:16} {figure:7.0f} us CPU   {figure / against:5.2f} x aiohttp")


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with nginx() as folder:
        asyncio.run(compare(str(folder / "pem"), runs))


if __name__ == "__main__":
    main()
