"""The sources of the agent's interpreter: only what was pinned is taken, and only what Debian signed is pinned."""

import hashlib
import importlib.util
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from parts import require

FILE = Path(__file__).parents[2] / "configs/package/interpreter/sources.py"
pytestmark = pytest.mark.may_block
STANZA = """Package: openssl
Binary: openssl
Version: {version}
Files:
 00000000000000000000000000000000 7 openssl_{version}.orig.tar.gz
Checksums-Sha256:
 {patches} 7 openssl_{version}-1.debian.tar.xz
 {archive} 7 openssl_{version}.orig.tar.gz
 {archive} 7 openssl_{version}.orig.tar.gz.asc
Directory: pool/main/o/openssl
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def sources():
    spec = importlib.util.spec_from_file_location("interpreter_sources", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def mirror(tmp_path):
    """A mirror's address and its folder."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


def test_what_is_pinned_is_an_archive_and_patches_of_each_source(sources):
    pinned = [path.rpartition("/")[2] for _, path in sources.pins()]
    for source in sources.SUITES:
        kinds = [name.split(".tar.")[0].rpartition(".")[2] for name in pinned if name.startswith(f"{source}_")]
        assert kinds == ["orig", "debian"], source


def test_a_file_is_brought_from_the_mirror_that_has_it_and_once(sources, mirror, tmp_path):
    address, folder = mirror
    (folder / "pool").mkdir()
    (folder / "pool/it.tar").write_bytes(b"the very")
    digest = hashlib.sha256(b"the very").hexdigest()
    sources.fetch(digest, "pool/it.tar", tmp_path, [f"{address}/not-here", address])
    (folder / "pool/it.tar").unlink()
    sources.fetch(digest, "pool/it.tar", tmp_path, [address])
    assert (tmp_path / "it.tar").read_bytes() == b"the very"


def test_another_file_under_its_name_is_refused_and_not_kept(sources, mirror, tmp_path):
    address, folder = mirror
    (folder / "it.tar").write_bytes(b"another")
    with pytest.raises(ValueError, match="not the file that was pinned"):
        sources.fetch(hashlib.sha256(b"the very").hexdigest(), "it.tar", tmp_path, [address])
    assert not (tmp_path / "it.tar").exists()


def test_what_no_mirror_has_is_told_with_the_mirrors_that_were_asked(sources, mirror, tmp_path):
    with pytest.raises(OSError, match=rf"no mirror has gone\.tar \({mirror[0]}: 404\)"):
        sources.fetch("0" * 64, "gone.tar", tmp_path, [mirror[0]])


def test_an_index_without_debian_s_signature_is_refused(sources, mirror, tmp_path):
    require("gpgv", "gpgv")
    address, folder = mirror
    (folder / "dists/trixie").mkdir(parents=True)
    (folder / "dists/trixie/InRelease").write_text("Origin: Debian\n")
    with pytest.raises(ValueError, match="the signature is not Debian's"):
        sources.newest("openssl", "trixie", [address], tmp_path)


def test_of_an_index_the_archive_and_the_patches_count(sources):
    index = STANZA.format(version="3.5.9", archive="a" * 64, patches="b" * 64) + "\nPackage: openssl-more\n"
    assert list(sources._releases(index, "openssl")) == [
        (
            "3.5.9",
            (
                ("a" * 64, "pool/main/o/openssl/openssl_3.5.9.orig.tar.gz"),
                ("b" * 64, "pool/main/o/openssl/openssl_3.5.9-1.debian.tar.xz"),
            ),
        )
    ]
