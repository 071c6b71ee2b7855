"""The house keeps its shape: no import cycles, one door per foreign library, a light agent, a wheel with five rooms."""

import ast
import graphlib
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("agent", "alerts", "collectors", "configs", "server")

# The module that may import each of these (a folder or the beginning of a name: the files of one plug-in).
DOORS = {
    "aiosmtplib": "alerts/channels/email.py",
    "alembic": "server/state/",
    "babel": "alerts/i18n/",
    "apscheduler": "server/watching/timer.py",
    "argon2": "server/web/accounts.py",
    "dns": "collectors/checks/engines/nameservers.py",
    "duckdb": "server/store/embedded/file.py",
    "gufo": "collectors/snmp/gufo.py",
    "icmplib": "collectors/checks/icmp.py",
    "influxdb_client": "server/store/influx/connection.py",
    "jinja2": None,
    "numpy": "server/store/embedded/",
    "psutil": None,
    "pysnmp": "collectors/snmp/pysnmp.py",
}


def modules():
    return [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]


def imported(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def test_no_module_is_in_an_import_cycle_counting_init_files():
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    needs = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError as error:
        pytest.fail("import cycle: " + " -> ".join(error.args[1]))


@pytest.mark.parametrize("library", sorted(name for name, door in DOORS.items() if door))
def test_a_foreign_library_has_one_door(library):
    users = [
        file.relative_to(ROOT).as_posix()
        for file in modules()
        if any(name == library or name.startswith(library + ".") for name in imported(file))
    ]
    door = DOORS[library]
    assert [user for user in users if not user.startswith(door)] == [], f"{library} is imported outside {door}"


def test_the_agent_starts_without_the_libraries_of_the_centre():
    program = (
        "import sys, agent.cli, agent.app; print(*sorted({name.partition('.')[0] for name in sys.modules}), sep='\\n')"
    )
    loaded = set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )
    heavy = {
        "aiohttp", "aiosmtplib", "alembic", "apscheduler", "argon2", "babel", "cryptography", "dns", "duckdb", "gufo",
        "icmplib", "influxdb_client", "jinja2", "numpy", "pysnmp", "sqlalchemy", "yarl",
    }  # fmt: skip
    assert loaded & heavy == set()
    assert loaded & {"alerts", "server"} == set()


def test_the_agents_floor_needs_only_the_base_dependencies():
    base = {"agent", "collectors", "configs", "msgspec", "psutil"}
    for file in [
        *(ROOT / "agent").rglob("*.py"),
        *(ROOT / "collectors/host").rglob("*.py"),
        *(ROOT / "configs").rglob("*.py"),
    ]:
        foreign = {name.partition(".")[0] for name in imported(file)} - set(sys.stdlib_module_names) - base
        assert foreign == set(), f"{file.relative_to(ROOT)} imports {foreign}"


def test_no_module_has_a_name_that_says_nothing():
    empty = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
    assert [file for file in modules() if file.stem in empty] == []


def test_the_init_of_a_program_is_empty():
    for package in ("agent", "alerts", "collectors", "configs", "server"):
        assert (ROOT / package / "__init__.py").read_text(encoding="utf-8").strip() == ""


@pytest.mark.timeout(300)
def test_the_wheel_holds_the_five_rooms_with_their_data_and_nothing_else(tmp_path):
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--disable-pip-version-check",
            "-w",
            tmp_path,
            ROOT,
        ],
        check=True,
    )
    (wheel,) = tmp_path.glob("pantau-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert {name.split("/")[0] for name in names} == {*PACKAGES, f"pantau-{version}.dist-info"}
    for needed in (
        "alerts/i18n/locale/en/LC_MESSAGES/pantau.po",
        "configs/agent.toml",
        "configs/server.toml",
        "configs/services.toml",
        "server/web/static/",
        "server/web/templates/",
    ):
        assert any(name.startswith(needed) for name in names), f"the wheel lacks {needed}"
