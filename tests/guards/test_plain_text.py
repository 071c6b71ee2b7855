"""Nothing that is committed names a machine's path, a registry's host or a secret."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
# held apart, so that this file does not find itself
PIECES = [
    ("/ro", "ot/"), ("/wo", "rk/"), (r"/ho", r"me/[a-z]+/\."), (r"pypi\.o", "rg/"), (r"files\.python", "hosted"),
    (r"registry\.n", "pmjs"), ("index-u", "rl"), (r"deb\.deb", r"ian\.org"),
]  # fmt: skip
FORBIDDEN = [re.compile("".join(pieces)) for pieces in PIECES]


def tracked():
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.split("\0") if name]


def test_no_file_names_a_machine_path_or_a_registry():
    found = []
    for file in tracked():
        if not file.is_file() or "vendor" in file.parts:
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        found += [f"{file.relative_to(ROOT)}: {hit[0]}" for pattern in FORBIDDEN if (hit := pattern.search(text))]
    assert found == []


def test_there_is_no_lock_file_with_addresses():
    assert [file.name for file in tracked() if file.name in {"uv.lock", "package-lock.json", "poetry.lock"}] == []
