"""One hash for all tokens."""

import pytest

from server.state.token_hash import token_hash


@pytest.mark.parametrize(
    ("token", "kept"),
    [
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ],
)
def test_a_token_is_kept_as_its_sha_256(token, kept):
    assert token_hash(token) == kept


def test_every_text_has_a_hash_and_different_ones_differ():
    odd = ["\udcff", "\ud800", "?", "�", "\udc80\udcff"]
    assert len({token_hash(token) for token in odd}) == len(odd)
