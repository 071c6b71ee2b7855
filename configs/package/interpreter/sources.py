"""The sources that the agent's interpreter is built from: brings them, or writes anew which they are.

    python sources.py FOLDER     bring what ``sources`` names from a Debian mirror; what has another SHA-256 is refused
    python sources.py --renew    name in ``sources`` the newest that the mirrors have: only of an index with the signature of Debian's
                                 archive (gpgv, debian-archive-keyring), and only what can be fetched and has the index's SHA-256

Mirrors: ``PANTAU_DEBIAN_MIRROR`` (one or more, by blanks), or those that apt has on a Debian; ``http_proxy`` is heard.
"""

import functools
import hashlib
import lzma
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

SOURCES: Final = Path(__file__).with_name("sources")
# libffi of 13 lacks its configure script, which would take three more tools to make
SUITES: Final = {
    "python3.13": "trixie",
    "openssl": "trixie",
    "sqlite3": "trixie",
    "zlib": "trixie",
    "libffi": "bookworm",
}
_KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
_TRIES: Final = 3
_SECONDS: Final = 60.0


def pins(file: Path = SOURCES) -> Iterator[tuple[str, str]]:
    """Yield (SHA-256, path under a mirror) of each source."""
    for line in file.read_text().splitlines():
        if line and not line.startswith("#"):
            digest, path = line.split()
            yield digest, path


def mirrors() -> list[str]:
    """Return the addresses of mirrors to ask, one after the other; none where nothing names one."""
    if given := os.environ.get("PANTAU_DEBIAN_MIRROR"):
        return given.split()
    command = ("apt-get", "indextargets", "--format", "$(SITE) $(ORIGIN)", "Created-By: Packages")
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return list(dict.fromkeys(line.split()[0] for line in told.splitlines() if line.endswith(" Debian")))


def fetch(digest: str, path: str, folder: Path, asked: list[str]) -> None:
    """Bring one file into ``folder`` unless it is there. OSError when no mirror has it, ValueError when it is not what was pinned."""
    file = folder / path.rpartition("/")[2]
    if file.exists() and hashlib.sha256(file.read_bytes()).hexdigest() == digest:
        return
    found = download(path, asked)
    if hashlib.sha256(found).hexdigest() != digest:
        raise ValueError(f"{path} is not the file that was pinned: its SHA-256 is another")
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    fresh.write_bytes(found)
    fresh.rename(file)


def download(path: str, asked: list[str]) -> bytes:
    """Return what stands at ``path`` of the first mirror that has it. OSError when none has."""
    failures = []
    for attempt in range(_TRIES):
        for mirror in asked:
            try:
                with urllib.request.urlopen(f"{mirror}/{urllib.parse.quote(path)}", timeout=_SECONDS) as answer:  # noqa: S310 - the builder's own mirror
                    found: bytes = answer.read()
                    return found
            except urllib.error.HTTPError as error:
                failures.append(f"{mirror}: {error.code}")
            except OSError as error:
                failures.append(f"{mirror}: {error}")
        if all(failure.endswith(": 404") for failure in failures):
            break
        time.sleep(2**attempt)
    raise OSError(f"no mirror has {path} ({', '.join(failures)})")


class Release(NamedTuple):
    """A version of a source: its archive and the patches, each as (SHA-256, path under a mirror)."""

    version: str
    files: tuple[tuple[str, str], ...]


def newest(source: str, suite: str, asked: list[str], folder: Path) -> Release:
    """Return the highest version whose files can be had. OSError when there is none."""
    found = [
        release
        for mirror in asked
        for dist in (suite, f"{suite}-security")
        for release in _releases(_index(mirror, dist), source)
    ]
    for release in sorted(found, key=functools.cmp_to_key(_order), reverse=True):
        try:
            for digest, path in release.files:
                fetch(digest, path, folder, asked)
        except OSError as error:
            print(f"{source} {release.version} is passed over: {error}", file=sys.stderr)  # noqa: T201 - a command speaks by printing
            continue
        return release
    raise OSError(f"no mirror has {source} of {suite}")


@functools.cache
def _index(mirror: str, dist: str) -> str:
    try:
        signed = download(f"dists/{dist}/InRelease", [mirror])
    except OSError:
        return ""
    with tempfile.NamedTemporaryFile() as file:
        file.write(signed)
        file.flush()
        told = subprocess.run(
            ("gpgv", "--quiet", "--keyring", _KEYRING, "--output", "-", file.name), capture_output=True, check=False
        )
    if told.returncode:
        raise ValueError(f"{mirror} {dist}: the signature is not Debian's: {told.stderr.decode()}")
    packed = download(f"dists/{dist}/main/source/Sources.xz", [mirror])
    if f" {hashlib.sha256(packed).hexdigest()} " not in told.stdout.decode():
        raise ValueError(f"{mirror} {dist}: Sources.xz is not the one that the signature is for")
    return lzma.decompress(packed).decode()


def _releases(index: str, source: str) -> Iterator[Release]:
    for stanza in index.split("\n\n"):
        if not stanza.startswith(f"Package: {source}\n"):
            continue
        lines = stanza.splitlines()
        fields = dict(line.split(": ", 1) for line in lines if ": " in line and not line.startswith(" "))
        begin = lines.index("Checksums-Sha256:") + 1
        sums = [line.split() for line in lines[begin:] if line.startswith(" ")]
        files = [
            (digest, f"{fields['Directory']}/{name}")
            for digest, _, name in (line for line in sums if len(line) == 3)  # noqa: PLR2004 - digest, size, name
            if len(digest) == hashlib.sha256().digest_size * 2
            if ".orig.tar." in name or ".debian.tar." in name
            if not name.endswith(".asc")
        ]
        yield Release(fields["Version"], tuple(sorted(files, key=lambda file: ".debian." in file[1])))


def _order(one: Release, other: Release) -> int:
    if one.version == other.version:
        return 0
    older = subprocess.run(("dpkg", "--compare-versions", one.version, "lt", other.version), check=False)
    return 1 if older.returncode else -1


def bring(folder: Path, asked: list[str]) -> None:
    """Bring all that ``sources`` names. OSError and ValueError as of ``fetch``."""
    folder.mkdir(parents=True, exist_ok=True)
    for digest, path in pins():
        fetch(digest, path, folder, asked)


def renew(asked: list[str]) -> None:
    """Write ``sources`` anew. OSError when a source cannot be had, ValueError when an index is not Debian's."""
    comments = [line for line in SOURCES.read_text().splitlines() if line.startswith("#")]
    with tempfile.TemporaryDirectory() as folder:
        found = [file for source, suite in SUITES.items() for file in newest(source, suite, asked, Path(folder)).files]
    SOURCES.write_text("\n".join([*comments, *(f"{digest}  {path}" for digest, path in found)]) + "\n")


def main() -> str | None:
    """Do what the command line says; return what is wrong."""
    asked = mirrors()
    if not asked:
        return "no mirror of Debian is known here: set PANTAU_DEBIAN_MIRROR"
    try:
        if sys.argv[1] == "--renew":
            renew(asked)
        else:
            bring(Path(sys.argv[1]), asked)
    except OSError as error:
        return f"{error}; where Debian has a newer version: make agent-sources"
    except ValueError as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main())
