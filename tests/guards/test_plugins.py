"""What a newcomer can forget is red: a plug-in or a page that nobody can reach, or that says less than its neighbours."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest
from aiohttp import web

from alerts.channels import CHANNELS
from alerts.rules import RULES
from collectors.checks import CHECKS
from collectors.host import COLLECTORS
from configs.plugin import find
from server.store import STORES
from server.web.routes import ROUTES

ROOT = Path(__file__).parents[2]
# what the parts of the agent stand on elsewhere than on Linux: named by the dict of those systems
ELSEWHERE = {"collectors/host/portable.py"}
KINDS = {
    "collector": (COLLECTORS, "collectors/host", "collect"),
    "check": (CHECKS, "collectors/checks", "run"),
    "channel": (CHANNELS, "alerts/channels", "send"),
    "rule": (RULES, "alerts/rules", "evaluate"),
}
PLUGINS = [(kind, name) for kind, (known, _, _) in KINDS.items() for name in known]


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_with_options_of_its_own_stands_in_the_dict(kind):
    known, folder, _ = KINDS[kind]
    named = {path.partition(":")[0].replace(".", "/") + ".py" for path in known.values()}
    with_options = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / folder).glob("*.py")
        if any(
            isinstance(node, ast.ClassDef) and node.name == "Options"
            for node in ast.parse(file.read_text("utf-8")).body
        )
    }
    assert with_options - named - ELSEWHERE == set()


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_a_plug_in_has_one_verb_and_frozen_options_that_refuse_what_they_do_not_know(kind, name):
    known, _, verb = KINDS[kind]
    plugin, options = find(kind, name, known)
    assert inspect.iscoroutinefunction(getattr(plugin, verb))
    assert plugin.__doc__
    assert options.__doc__
    assert options.__struct_config__.frozen
    assert options.__struct_config__.forbid_unknown_fields


@pytest.mark.parametrize("name", STORES)
def test_a_store_has_frozen_options_that_refuse_what_they_do_not_know(name):
    _, options = find("store", name, STORES)
    assert options.__struct_config__.frozen
    assert options.__struct_config__.forbid_unknown_fields


def test_every_kind_of_plug_in_stands_in_contributing():
    told = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    for _, folder, verb in KINDS.values():
        assert f"`{folder}/`" in told
        assert f"`{verb}`" in told


def test_every_handler_of_a_page_has_an_address():
    """A page that was written and not entered in ``ROUTES`` is reached by nobody."""
    entered = {(route.handler.__module__, route.handler.__name__) for route in ROUTES}
    written = set()
    for file in (ROOT / "server/web/pages").glob("*.py"):
        module = importlib.import_module(f"server.web.pages.{file.stem}")
        for name, work in inspect.getmembers(module, inspect.iscoroutinefunction):
            taken = list(inspect.signature(work).parameters.values())
            if work.__module__ == module.__name__ and not name.startswith("_"):
                assert [each.annotation for each in taken] == [web.Request], (module.__name__, name)
                written.add((module.__name__, name))
    assert written - entered == set()


def test_every_page_and_file_is_described_to_its_users():
    told = (ROOT / "docs/operations.md").read_text("utf-8")
    missing = [
        route.path
        for route in ROUTES
        if route.method == "GET" and route.answers != "redirect" and f"`{route.path}`" not in told
    ]
    assert missing == []
