"""Where the authorities come from that the agent trusts: the machine's own list, on each family of distributions."""

import pytest

from agent.trust import system_bundle

DEBIAN, RED_HAT, SUSE = "etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt", "etc/ssl/ca-bundle.pem"
EXTRACTED = "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"


@pytest.mark.parametrize("bundle", [DEBIAN, RED_HAT, EXTRACTED, SUSE])
def test_the_list_of_each_family_is_found(tmp_path, bundle):
    file = tmp_path / bundle
    file.parent.mkdir(parents=True)
    file.touch()
    assert system_bundle({}, tmp_path) == str(file)


def test_where_there_is_none_it_is_left_to_openssl(tmp_path):
    (tmp_path / DEBIAN).mkdir(parents=True)
    assert system_bundle({}, tmp_path) is None


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_what_the_environment_names_comes_first(tmp_path, name):
    file = tmp_path / DEBIAN
    file.parent.mkdir(parents=True)
    file.touch()
    assert system_bundle({name: "/elsewhere"}, tmp_path) is None
    assert system_bundle({name: ""}, tmp_path) == str(file)
