"""The pages of docs/ as they are typed: blocks of commands and of files, in order, with what a comment above them says for tests.

A comment stands right above its block: ``<!-- on: agent -->`` names another machine, ``<!-- not run: WHY -->`` leaves it out;
``<!-- write: FILE -->``, ``<!-- append: FILE -->`` and ``<!-- edit: FILE -->`` (its table in place of the one of the same name) say
where the lines of a file go.
"""

import re
from pathlib import Path

import msgspec

DOCS = Path(__file__).parents[1] / "docs"
_COMMENT = re.compile(r"<!-- (on|not run|write|append|edit): (.+) -->")
_FILES = frozenset({"write", "append", "edit"})


class Step(msgspec.Struct, frozen=True):
    """One block: ``kind`` is "sh" or what is done with ``file``; ``why_not`` is not empty when it cannot be typed in a test."""

    page: str
    line: int
    kind: str
    text: str
    machine: str = "centre"
    file: str = ""
    why_not: str = ""

    def __str__(self):
        return f"{self.page}:{self.line}"


def steps(page: str) -> list[Step]:
    """Return the steps of a page of docs/ that are typed or left out; blocks of other kinds only show something."""
    found, notes, block, opened, language = [], {}, [], 0, None
    for number, line in enumerate((DOCS / page).read_text(encoding="utf-8").splitlines(), 1):
        if language is not None:
            if line == "```":
                found += _step(page, opened, language, "\n".join(block) + "\n", notes)
                notes, block, language = {}, [], None
            else:
                block.append(line)
        elif line.startswith("```"):
            opened, language = number, line[3:]
        elif comment := _COMMENT.fullmatch(line):
            notes[comment[1]] = comment[2]
        elif notes:
            raise AssertionError(f"{page}:{number}: a comment for tests stands above no block")
    return found


def _step(page, line, language, text, notes) -> list[Step]:
    files = _FILES & notes.keys()
    if language != "sh" and not files:
        return []
    if (language == "sh") == bool(files):
        raise AssertionError(f"{page}:{line}: commands are `sh`, lines of a file are not")
    (kind,) = files or {"sh"}
    return [
        Step(
            page=page,
            line=line,
            kind=kind,
            text=text,
            machine=notes.get("on", "centre"),
            file=notes.get(kind, ""),
            why_not=notes.get("not run", ""),
        )
    ]


def put(step: Step, text: str) -> str:
    """Return what a file holds after a step, which held ``text`` before."""
    if step.kind == "write":
        return step.text
    if step.kind == "append":
        return f"{text.rstrip()}\n\n{step.text}"
    header = step.text.splitlines()[0]
    before, found, rest = f"\n{text}".partition(f"\n{header}\n")
    if not found:
        raise AssertionError(f"{step}: {step.file} has no table {header}")
    _, following, more = f"\n{rest}".partition("\n[")
    return f"{before}\n{step.text}{following}{more}".lstrip("\n")
