import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.deliver import Verdict, deliver, judge
from agent.post import Answer, Unreachable

OK = Answer(204)
BAD = Answer(400, '{"code":"invalid","message":"unable to parse"}')


class Sink:
    """Answers as ``rule(lines)`` says and keeps what it accepted."""

    def __init__(self, rule):
        self.rule = rule
        self.taken = []
        self.posts = 0

    def __call__(self, body):
        self.posts += 1
        lines = zlib.decompress(body, wbits=31).splitlines()
        answer = self.rule(lines)
        if isinstance(answer, Exception):
            raise answer
        if answer.status in {204, 422}:
            self.taken += lines
        return answer


def poisoned(bad):
    return lambda lines: BAD if bad & set(lines) else OK


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Answer(204), Verdict.DONE),
        (Answer(200, "{}"), Verdict.DONE),
        (Answer(200, "<html>Silakan masuk", html=True), Verdict.LATER),  # a captive portal
        (Answer(200, "Silakan masuk"), Verdict.LATER),  # another one, which says it in plain text
        (Answer(301), Verdict.OURS),
        (Answer(400), Verdict.POISON),
        (Answer(400, "<html>", html=True), Verdict.LATER),  # a proxy's page, not the write endpoint
        (Answer(401), Verdict.OURS),
        (Answer(403), Verdict.OURS),
        (Answer(404), Verdict.OURS),
        (Answer(411), Verdict.OURS),
        (Answer(413), Verdict.TOO_LARGE),
        (Answer(422), Verdict.PARTIAL),
        (Answer(429), Verdict.LATER),
        (Answer(500), Verdict.LATER),
        (Answer(503), Verdict.LATER),
    ],
)
def test_what_an_answer_means(answer, verdict):
    assert judge(answer) is verdict


def test_one_poison_line_of_a_thousand_is_found_and_the_others_arrive(some_lines):
    lines = some_lines(1000)
    sink = Sink(poisoned({lines[617]}))
    outcome = deliver(lines, sink, trusted=False)
    assert [line for line, _ in outcome.poison] == [lines[617]]
    assert "unable to parse" in outcome.poison[0][1]
    assert outcome.rest == []
    assert outcome.pause is None
    assert sorted(sink.taken) == sorted(lines[:617] + lines[618:])
    assert sink.posts < 25


def test_an_address_that_refuses_everything_is_a_wrong_setting_and_nothing_goes_to_quarantine(some_lines):
    outcome = deliver(some_lines(10), Sink(lambda _: BAD), trusted=False)
    assert outcome.poison == []
    assert sorted(outcome.rest) == sorted(some_lines(10))
    assert outcome.pause.verdict is Verdict.OURS


def test_a_single_poison_line_is_believed_when_the_address_has_accepted_others_before(some_lines):
    outcome = deliver(some_lines(1), Sink(lambda _: BAD), trusted=True)
    assert [line for line, _ in outcome.poison] == some_lines(1)


def test_bisecting_has_an_end_and_the_undecided_wait(some_lines):
    lines = some_lines(500)
    sink = Sink(poisoned(set(lines[::2])))
    outcome = deliver(lines, sink, trusted=True)
    assert sink.posts <= 64
    assert len(outcome.rest) > 100
    assert sorted(outcome.rest + sink.taken + [line for line, _ in outcome.poison]) == sorted(lines)


def test_413_halves_until_it_fits_and_a_line_that_never_fits_goes_to_quarantine(some_lines):
    lines = [*some_lines(20), b"m s=" + b"x" * 900 + b" 1"]
    sink = Sink(lambda part: Answer(413) if sum(map(len, part)) > 300 else OK)
    outcome = deliver(lines, sink, trusted=False)
    assert sorted(sink.taken) == sorted(lines[:20])
    assert [line for line, _ in outcome.poison] == lines[20:]
    assert outcome.too_large


@pytest.mark.parametrize(("text", "rejected"), [("partial write: field type conflict dropped=3", 3), ("no number", 10)])
def test_422_is_counted_and_not_repeated(some_lines, text, rejected):
    outcome = deliver(some_lines(10), Sink(lambda _: Answer(422, text)), trusted=False)
    assert (outcome.rejected, outcome.rest, outcome.pause) == (rejected, [], None)
    assert text in outcome.complaint


def test_a_token_that_cannot_be_read_is_our_own_fault(some_lines):
    outcome = deliver(some_lines(3), Sink(lambda _: Unreachable("no token", ours=True)), trusted=True)
    assert (outcome.rest, outcome.pause.verdict) == (some_lines(3), Verdict.OURS)


ANSWERS = st.sampled_from([OK, OK, OK, BAD, Answer(413), Answer(422, "dropped=1"), Answer(500), Unreachable("gone")])


@given(st.integers(1, 60), st.lists(ANSWERS, min_size=1, max_size=80), st.booleans())
def test_every_line_is_delivered_or_rejected_or_poison_or_rest(count, answers, trusted):
    lines = [b"m n=%di 1" % number for number in range(count)]
    script = iter(answers * 70)
    sink = Sink(lambda _: next(script))
    outcome = deliver(lines, sink, trusted=trusted)
    poison = [line for line, _ in outcome.poison]
    assert sorted(sink.taken + poison + outcome.rest) == sorted(lines)
    assert 0 <= outcome.rejected <= len(sink.taken)
    assert outcome.pause or not outcome.rest or sink.posts == 64
