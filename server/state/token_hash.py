"""What is kept of a token that nobody can guess: its SHA-256."""

import hashlib


def token_hash(token: str) -> str:
    """Return the SHA-256 of a token as 64 hex digits; every text has one, also what came as bytes that are no text."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
