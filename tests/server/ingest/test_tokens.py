"""Tokens of the settings: by their place or by their hash, write-only, and never shown."""

import asyncio
import hashlib
import re
import tomllib

import pytest

from configs.read import Source
from server.cli.main import main
from server.ingest.options import Options
from server.ingest.tokens import Token

SETTINGS = """
[ingest]
tokens = [
    {line}
]
"""


def read(tmp_path, line):
    file = tmp_path / "server.toml"
    file.write_text(SETTINGS.format(line=line))
    source = Source.read(file)
    return source.parse(Options, source.tree["ingest"], ("ingest",))


@pytest.fixture
def shown(capsys):
    assert main(["token", 'Telegraf "pusat"']) == 0
    return capsys.readouterr().out


async def test_a_token_that_the_command_made_writes_and_its_hash_does_not(serve, memory_store, tmp_path, shown):
    token = re.search(r"token: +(\S+)", shown)[1]
    line = re.search(r"\{.*\},", shown)[0]
    options = await asyncio.to_thread(read, tmp_path, line)
    assert options.tokens[0].name == 'Telegraf "pusat"'
    assert token not in repr(options)
    async with serve(memory_store, options) as centre:
        assert (await centre.write(b"m f=1", token=token))[0] == 204
        assert (await centre.write(b"m f=1", token=options.tokens[0].sha256))[0] == 401
        assert (await centre.write(b"m f=1", token=token[:-1]))[0] == 401


async def test_a_token_gives_the_right_to_write_and_no_other(centre):
    headers = {"Authorization": "Token s3cret-token"}
    for path in ("/api/v2/query?org=pantau", "/query?db=pantau&q=SHOW+DATABASES", "/api/v2/buckets", "/api/v2/delete"):
        for ask in (centre.session.get, centre.session.post):
            async with ask(centre.base + path, headers=headers) as answer:
                assert answer.status in {404, 405}, path


def test_a_token_may_be_for_one_bucket(tmp_path, capsys):
    assert main(["token", "Telegraf", "--bucket", "telegraf"]) == 0
    line = re.search(r"\{.*\},", capsys.readouterr().out)[0]
    assert read(tmp_path, line).tokens[0].bucket == "telegraf"


def test_every_token_is_another_one(capsys):
    main(["token", "a"])
    main(["token", "a"])
    first, second = re.findall(r"token: +(\S+)", capsys.readouterr().out)
    assert first != second
    assert len(first) >= 43  # 256 bits, so that nobody finds it from its hash


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{ name = "a" }', "the token of 'a' needs either 'token' or 'sha256'"),
        ('{ name = "a", token = { file = "x" }, sha256 = "' + "0" * 64 + '" }', "needs either 'token' or 'sha256'"),
        ('{ name = "a", sha256 = "plain-token" }', "expected a text like ^([0-9a-f]{64})?$"),
    ],
)
def test_a_token_without_or_with_two_secrets_is_refused_with_its_place(tmp_path, line, why):
    with pytest.raises(ValueError, match=r"server\.toml:\d+: ") as error:
        read(tmp_path, line)
    assert why in str(error.value)


def test_the_hash_is_plain_sha_256():
    assert (
        tomllib.loads('x = "' + hashlib.sha256(b"abc").hexdigest() + '"')["x"]
        == Token("a", sha256="ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad").sha256
    )
