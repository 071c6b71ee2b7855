"""Clock, chance, threads, network and files reach the heart of the centre through ``app.py``; nothing in it reads them past that.

What the simulated city runs must do the same for the same seed: a part that asks the machine what time it is would not.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# what the city runs, and what it could run
HEART = (
    "alerts",
    "server/calendar",
    "server/evaluation",
    "server/heart.py",
    "server/inventory",
    "server/ledger",
    "server/readmodel",
    "server/watching",
)
# the edges: what is handed in at them is real, and a test or a city hands in something else
EDGES = {
    "alerts/channels": "talk to the world: the city has channels of its own",
    "alerts/i18n": "reads the catalogue of texts once, at the start",
    "server/watching/lease.py": "speaks with the store of two centres; no part of the heart",
}
MODULES = {
    *("time", "random", "secrets", "uuid", "socket", "os", "shutil", "tempfile"),
    *("subprocess", "threading", "multiprocessing", "concurrent"),
}
CALLS = {
    "asyncio.to_thread",
    "asyncio.open_connection",
    "asyncio.start_server",
    "datetime.now",
    "dt.datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "dt.datetime.today",
    "date.today",
    "dt.date.today",
    "platform.node",
    "open",
}
METHODS = {"read_text", "read_bytes", "write_text", "write_bytes", "run_in_executor", "unlink", "mkdir"}
# (file, name): why it may
ALLOWED = {}


def files():
    for part in HEART:
        path = ROOT / part
        yield from [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))


def modules_of(node):
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    return [node.module.split(".")[0]] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []


def dotted(node):
    if isinstance(node, ast.Name):
        return node.id
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else "?"


def reads(source):
    """Return what a module reads of the machine itself: the names of modules, functions and methods, with their lines."""
    read = []
    for node in ast.walk(ast.parse(source)):
        read += [(name, node.lineno) for name in modules_of(node) if name in MODULES]
        if isinstance(node, ast.Attribute) and (dotted(node) in CALLS or node.attr in METHODS):
            read.append((dotted(node), node.lineno))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
            read.append((node.func.id, node.lineno))
    return read


def test_the_heart_reads_no_clock_no_chance_no_thread_no_network_and_no_file_by_itself():
    found = []
    for file in files():
        name = file.relative_to(ROOT).as_posix()
        if any(f"{name}/".startswith(f"{edge}/") for edge in EDGES):
            continue
        found += [
            f"{name}:{line} {what}"
            for what, line in reads(file.read_text(encoding="utf-8"))
            if (name, what) not in ALLOWED
        ]
    assert not found, "\n".join(found)


def test_what_is_allowed_is_there():
    used = {
        (file.relative_to(ROOT).as_posix(), what)
        for file in files()
        for what, _ in reads(file.read_text(encoding="utf-8"))
    }
    assert ALLOWED.keys() <= used


@pytest.mark.parametrize(
    "source",
    [
        "import time\nt = time.time()",
        "from random import random",
        "import asyncio\nasync def f():\n    await asyncio.to_thread(print)",
        "import datetime as dt\nnow = dt.datetime.now()",
        "text = open('x').read()",
        "def f(path):\n    return path.read_text()",
    ],
)
def test_it_sees_what_reads_past_it(source):
    assert reads(source)
