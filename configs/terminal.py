"""Terminal: text of strangers (the centre, servers that collectors ask) in a form that a terminal or log only shows.

What is no letter, digit, sign or blank becomes ``?``: control characters, which move the cursor, set the window's title or
answer in the reader's place, and marks that turn the direction of writing.
"""


def shown(text: str) -> str:
    """Return text with its lines and tabs, and nothing else that a terminal would obey."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "?" for sign in text)


def one_line(text: str) -> str:
    """Return text as one line, so that it cannot pretend to be several."""
    return shown(" ".join(text.split()))
