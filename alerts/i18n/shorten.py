"""Shortening of texts for people."""


def shortened(text: str, longest: int) -> str:
    """Return a text of at most ``longest`` UTF-16 units, which is how Telegram and browsers count; ``…`` says that it was cut."""
    if len(text.encode("utf-16-le")) <= 2 * longest:
        return text
    kept = text.encode("utf-16-le")[: max(2 * (longest - 1), 0)].decode("utf-16-le", errors="ignore")
    return f"{kept}…"
