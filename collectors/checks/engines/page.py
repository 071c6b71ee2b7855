"""Judge the last answer of an http check: its status, its headers and its body. No I/O."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from collectors.checks.engines.expect import Finding, Matcher, Patterns, Severity, matchers
from collectors.checks.engines.inflate import Body
from collectors.result import Reason

HeaderPatterns = dict[str, Patterns]

_BLOCKED: Final = frozenset({401, 403, 429})
_SERVER_ERROR: Final = 500
_STATUS_PART: Final = re.compile(r"([1-5]\d\d)(?:-([1-5]\d\d))?")


class Answer(msgspec.Struct, frozen=True):
    """What came back: ``headers`` are found without regard to case."""

    status: int
    phrase: str
    headers: Mapping[str, str]
    body: Body
    charset: str

    def __str__(self) -> str:
        return f"HTTP {self.status} {self.phrase}".rstrip()

    def text(self) -> str:
        """Return the body as text; bytes that do not fit the charset are replaced."""
        try:
            return self.body.content.decode(self.charset, "replace")
        except LookupError:
            return self.body.content.decode("utf-8", "replace")


def status_set(text: str) -> frozenset[int]:
    """Read a set of status codes such as ``"200-299,301"``; ValueError says what was expected."""
    codes: set[int] = set()
    for part in text.split(","):
        match = _STATUS_PART.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise ValueError(f"'status': expected status codes such as \"200-299,301\", got {text!r}")
        codes.update(range(first, last + 1))
    return frozenset(codes)


class Expected:
    """What the settings expect of an answer, compiled. ValueError names the option that cannot be used."""

    def __init__(
        self,
        *,
        status: str,
        body_present: Patterns,
        body_absent: Patterns,
        headers_present: HeaderPatterns,
        headers_absent: HeaderPatterns,
        oversize: Severity | None,
    ) -> None:
        self.statuses = status_set(status)
        self._status = status
        self._present = matchers("body_present", body_present)
        self._absent = matchers("body_absent", body_absent)
        self._headers_present = _of_headers("headers_present", headers_present)
        self._headers_absent = _of_headers("headers_absent", headers_absent)
        self._oversize = oversize

    def findings(self, answer: Answer) -> Iterator[Finding]:
        """Yield what is not as expected; of an answer with a wrong status only that, the rest would say no more."""
        if answer.status not in self.statuses:
            yield Finding("down", _why(answer.status), f"{answer}, expected {self._status}")
            return
        yield from self._in_headers(answer)
        yield from self._in_body(answer)

    def _in_headers(self, answer: Answer) -> Iterator[Finding]:
        for name, matcher in self._headers_present:
            if not matcher.regex.search(answer.headers.get(name, "")):
                yield _content(matcher, f"{answer}, but header {name} without {matcher.regex.pattern!r}")
        for name, matcher in self._headers_absent:
            if name in answer.headers and matcher.regex.search(answer.headers[name]):
                yield _content(matcher, f"{answer}, but header {name} with {matcher.regex.pattern!r}")

    def _in_body(self, answer: Answer) -> Iterator[Finding]:
        body = answer.body
        if body.cut and (self._oversize or self._present or self._absent):
            yield Finding(
                self._oversize or "warn", Reason.CONTENT, f"body larger than {body.limit} bytes, read up to there"
            )
        if not (self._present or self._absent):
            return
        if not body.readable:
            coding = answer.headers.get("Content-Encoding")
            yield Finding("down", Reason.PROTOCOL, f"body in {coding!r}, which was not asked for")
            return
        text = answer.text()
        for matcher in self._present:
            if not matcher.regex.search(text):
                yield _content(matcher, f"{answer}, but body without {matcher.regex.pattern!r}")
        for matcher in self._absent:
            if matcher.regex.search(text):
                yield _content(matcher, f"{answer}, but body with {matcher.regex.pattern!r}")


def _why(status: int) -> Reason:
    if status in _BLOCKED:
        return Reason.BLOCKED
    return Reason.HTTP_ERROR if status >= _SERVER_ERROR else Reason.HTTP_STATUS


def _content(matcher: Matcher, detail: str) -> Finding:
    return Finding(matcher.severity, Reason.CONTENT, detail)


def _of_headers(option: str, patterns: HeaderPatterns) -> tuple[tuple[str, Matcher], ...]:
    return tuple((name, matcher) for name, entry in patterns.items() for matcher in matchers(f"{option}.{name}", entry))
