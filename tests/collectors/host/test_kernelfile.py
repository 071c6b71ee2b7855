"""Reading what the kernel tells, and the patterns by which names are chosen."""

import os
from pathlib import Path

import pytest

from collectors.host.sources import kernelfile


def test_a_file_of_several_parts_is_read_to_its_end(tmp_path):
    long = "0123456789" * 30_000
    (tmp_path / "long").write_text(long)
    assert kernelfile.text(str(tmp_path), "long") == long


def test_no_file_is_left_open_when_reading_fails(tmp_path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with pytest.raises(IsADirectoryError):
            kernelfile.text(str(tmp_path), "")
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_bytes_that_are_no_utf8_survive(tmp_path):
    (tmp_path / "odd").write_bytes(b"/mnt/caf\xe9\n")
    assert os.fsencode(kernelfile.text(str(tmp_path), "odd")) == b"/mnt/caf\xe9\n"


@pytest.mark.parametrize(
    ("name", "patterns", "fits"),
    [
        ("eth0", (), False),
        ("", (), False),
        ("eth0", ("eth*",), True),
        ("veth0", ("eth*",), False),
        ("eth0.100", ("lo", "eth?.1*"), True),
        ("sdb", ["sd[a-c]"], True),
        ("sdbx", ["sd[a-c]"], False),
        ("ETH0", ("eth*",), False),
        ("eth0\nx", ("eth*",), True),
        ("a|b", ("a|b",), True),
        ("a", ("a|b",), False),
    ],
)
def test_a_name_fits_one_of_the_patterns_as_a_whole(name, patterns, fits):
    assert kernelfile.matches(name, patterns) is fits
