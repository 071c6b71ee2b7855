"""Settings of a device: credentials that cannot work are refused when they are read."""

from pathlib import Path

import pytest

from collectors.snmp import Options
from configs.read import SettingsError, Source

GOOD = [
    'id = "a"\naddress = "192.0.2.1"\ncommunity = { env = "C" }',
    'id = "a"\naddress = "sw.example.go.id"\nversion = "3"\nuser = "u"',
    'id = "a"\naddress = "h"\nversion = "3"\nuser = "u"\nauth = "SHA"\nauth_key = { env = "A" }',
    (
        'id = "a"\naddress = "h"\nversion = "3"\nuser = "u"\nauth = "SHA256"\nauth_key = { env = "A" }'
        '\npriv = "AES256C"\npriv_key = { env = "P" }'
    ),
]
BAD = [
    ('id = "a"\naddress = "h"', 'version "2c" needs community'),
    ('id = "a"\naddress = "h"\ncommunity = { env = "C" }\nuser = "u"', "user, auth and priv are of version 3"),
    ('id = "a"\naddress = "h"\nversion = "3"', 'version "3" needs user'),
    ('id = "a"\naddress = "h"\nversion = "3"\nuser = "u"\nauth = "SHA"', "auth goes with auth_key"),
    ('id = "a"\naddress = "h"\nversion = "3"\nuser = "u"\npriv = "AES"\npriv_key = { env = "P" }', "priv needs auth"),
    ('id = "a"\naddress = "h"\nversion = "1"\ncommunity = { env = "C" }', "version"),
    ('id = "a"\naddress = "h"\ncommunity = "public"', "a secret is not written in the settings"),
    ('id = "A B"\naddress = "h"\ncommunity = { env = "C" }', "id"),
    ('id = "a"\naddress = "h"\ncommunity = { env = "C" }\nport = 0', "port"),
]


def read(text):
    return Source(text, Path("server.toml")).parse(Options)


@pytest.mark.parametrize("text", GOOD)
def test_good_settings_are_read(text):
    assert read(text).port == 161


@pytest.mark.parametrize(("text", "why"), BAD)
def test_settings_that_cannot_work_are_refused(text, why):
    with pytest.raises(SettingsError, match=why):
        read(text)
