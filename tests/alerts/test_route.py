"""Who hears of what."""

import pytest

from alerts.route import Contact, Route, Via, connect, plan
from alerts.subject_info import SubjectInfo
from collectors.result import Status

CONTACTS = [
    Contact("piket", (Via("mail", "piket@kota.example"), Via("bot", "-100"))),
    Contact("dinkes", (Via("mail", "dinkes@kota.example"),)),
    Contact("kabid", (Via("bot", "-100"), Via("hook")), language="en"),
]
CHANNELS = {"mail", "bot", "hook"}


def told(routes, **over):
    """Return the addresses that hear of a DOWN, critical SIMPUS, changed by ``over``."""
    about = SubjectInfo(name="x", agency=over.pop("agency", "dinkes"))
    problem = {"checks": ("web",), "subject": "service/simpus", "status": Status.DOWN, "severity": "critical"} | over
    return [(one.channel, one.recipient) for one in plan(connect(CONTACTS, routes, CHANNELS), about=about, **problem)]


def test_without_routes_everything_goes_to_everyone_once():
    assert told([]) == [
        ("mail", "piket@kota.example"),
        ("bot", "-100"),
        ("mail", "dinkes@kota.example"),
        ("hook", ""),
    ]


def test_all_routes_that_match_send_and_an_address_is_told_once():
    routes = [
        Route(("dinkes",), agencies=("dinkes",)),
        Route(("piket", "dinkes")),
        Route(("kabid",), agencies=("lain",)),
    ]
    assert told(routes) == [("mail", "dinkes@kota.example"), ("mail", "piket@kota.example"), ("bot", "-100")]


def test_where_no_route_matches_nobody_is_told():
    assert told([Route(("piket",), services=("sipd",))]) == []


@pytest.mark.parametrize(
    ("route", "over", "matches"),
    [
        ({"services": ("simpus",)}, {}, True),
        ({"services": ("simpus",)}, {"subject": "host/simpus"}, False),
        ({"agencies": ("dinkes",)}, {"agency": "bappeda"}, False),
        ({"agencies": ("dinkes",), "services": ("sipd",)}, {}, False),
        ({"subjects": ("host/srv-1",)}, {"subject": "host/srv-1/path=/var"}, True),
        ({"subjects": ("host/srv-1",)}, {"subject": "host/srv-10"}, False),
        ({"checks": ("rule/disk",)}, {"checks": ("rule/disk",)}, True),
        ({"checks": ("rule/disk",)}, {"checks": ("family/disk", "rule/inode", "rule/disk")}, True),
        ({"checks": ("family/disk",)}, {"checks": ("family/disk", "rule/disk")}, True),
        ({"checks": ("rule/disk",)}, {}, False),
        ({"statuses": ("down",)}, {"status": Status.DEGRADED}, False),
        ({"min_severity": "high"}, {"severity": "high"}, True),
        ({"min_severity": "high"}, {"severity": "medium"}, False),
    ],
)
def test_matching(route, over, matches):
    assert bool(told([Route(("piket",), **route)], **over)) is matches


def test_the_language_is_that_of_the_contact():
    owed = plan(
        connect(CONTACTS, [Route(("kabid",))], CHANNELS),
        checks=("web",),
        subject="service/x",
        status=Status.DOWN,
        severity="low",
        about=SubjectInfo(name="x"),
    )
    assert {one.language for one in owed} == {"en"}


@pytest.mark.parametrize(
    ("contacts", "routes", "message"),
    [
        ([CONTACTS[0], CONTACTS[0]], [], "contact id 'piket' is used twice"),
        ([Contact("a", (Via("sms", "08"),))], [], "unknown channel 'sms' in contact 'a'; known: "),
        ([], [Route(("piket",))], "unknown contact 'piket' in route #1; known: none"),
    ],
)
def test_what_does_not_fit_together_is_refused(contacts, routes, message):
    with pytest.raises(ValueError, match=message):
        connect(contacts, routes, CHANNELS)
