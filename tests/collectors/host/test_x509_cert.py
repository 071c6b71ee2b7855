"""Certificates on disk: read as the cryptography library reads them, verified by the real openssl."""

import datetime as dt
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from parts import require

from collectors.host.sources import certificate

CASE = Path(__file__).parents[2] / "cases/x509_cert/chain_in_the_usual_place/1/etc/letsencrypt/archive/simpus"
DAY = dt.timedelta(days=1)


def oids(name, oid):
    return next((a.value for a in name.get_attributes_for_oid(oid)), None)


def agrees(ours, theirs):
    """Compare with what the cryptography library says of the same certificate."""
    assert ours.serial == f"{theirs.serial_number:x}"
    assert ours.begins == theirs.not_valid_before_utc.timestamp()
    assert ours.ends == theirs.not_valid_after_utc.timestamp()
    for told, name in ((ours.subject, theirs.subject), (ours.issuer, theirs.issuer)):
        assert told.get("common_name") == oids(name, NameOID.COMMON_NAME)
        assert told.get("organization") == oids(name, NameOID.ORGANIZATION_NAME)
        assert told.get("country") == oids(name, NameOID.COUNTRY_NAME)
    try:
        san = theirs.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        san = []
    assert set(ours.san) == {str(name.value) for name in san}
    assert ours.authority == theirs.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_it_reads_what_the_cryptography_library_reads():
    body = (CASE / "fullchain1.pem").read_bytes()
    ours, theirs = certificate.read(body), x509.load_pem_x509_certificates(body)
    assert len(ours) == len(theirs) == 3
    for one, other in zip(ours, theirs, strict=True):
        agrees(one, other)


@pytest.mark.filterwarnings("ignore:Parsed a serial number:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Parsed a serial number:UserWarning")
def test_it_reads_the_authorities_of_this_system():
    store = Path("/etc/ssl/certs/ca-certificates.crt")
    if not store.exists():
        pytest.skip("this host keeps its authorities elsewhere")
    body = store.read_bytes()
    ours, theirs = certificate.read(body), x509.load_pem_x509_certificates(body)
    assert len(ours) == len(theirs) > 50
    for one, other in zip(ours, theirs, strict=True):
        assert (one.serial, one.ends) == (f"{other.serial_number:x}", other.not_valid_after_utc.timestamp())
        assert one.subject.get("common_name") == oids(other.subject, NameOID.COMMON_NAME)


@given(st.data())
def test_a_broken_certificate_is_a_value_error_whatever_is_broken(data):
    der = x509.load_pem_x509_certificates((CASE / "fullchain1.pem").read_bytes())[0].public_bytes(Encoding.DER)
    at = data.draw(st.integers(1, len(der) - 1))
    broken = data.draw(st.sampled_from((der[:at], der[:at] + data.draw(st.binary(min_size=1, max_size=4)) + der[at:])))
    try:
        certificate.read(broken)
    except ValueError:
        return


@pytest.fixture
def signed(tmp_path):
    """Make an authority and a certificate by it: ``signed(days)`` writes server.pem and ca.pem."""
    require("openssl", "openssl")
    key, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.fromtimestamp(time.time(), dt.UTC)

    def name(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def make(subject, public, days, *, ca):
        built = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name("Akar")).public_key(public)
        built = built.serial_number(x509.random_serial_number()).not_valid_before(now - 30 * DAY)
        built = built.not_valid_after(now + days * DAY).add_extension(x509.BasicConstraints(ca, None), critical=True)
        return built.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def write(days):
        (tmp_path / "ca.pem").write_bytes(make("Akar", key.public_key(), 90, ca=True))
        (tmp_path / "server.pem").write_bytes(make("server", own.public_key(), days, ca=False))
        return tmp_path

    return write


async def test_openssl_verifies_against_the_authority_of_the_settings(collector, signed):
    folder = signed(10)
    one = collector("x509_cert", sources=(f"{folder}/server.pem",), ca=f"{folder}/ca.pem")
    (point,) = await one.collect(time.time_ns())
    assert point.tags["verification"] == "valid"
    assert point.fields["verification_code"] == 0
    assert 9 * 86_400 < point.fields["expiry"] <= 10 * 86_400


async def test_an_unknown_authority_and_an_expired_one_are_told(collector, signed):
    folder = signed(-1)
    known = collector("x509_cert", sources=(f"{folder}/server.pem",), ca=f"{folder}/ca.pem")
    (point,) = await known.collect(time.time_ns())
    assert point.fields["verification_error"] == "certificate has expired"
    assert point.fields["expiry"] < 0
    stranger = collector("x509_cert", sources=(f"{folder}/server.pem",))
    (point,) = await stranger.collect(time.time_ns())
    assert (point.tags["verification"], point.fields["verification_code"]) == ("invalid", 1)


async def test_a_renewed_certificate_is_read_and_verified_anew(collector, signed):
    folder = signed(-1)
    one = collector("x509_cert", sources=(f"{folder}/*.pem",), ca=f"{folder}/ca.pem")
    now = time.time_ns()
    before = {p.tags["common_name"]: p for p in await one.collect(now)}
    signed(60)
    after = {p.tags["common_name"]: p for p in await one.collect(now)}
    assert before["server"].tags["verification"] == "invalid"
    assert after["server"].tags["verification"] == "valid"
    assert after["server"].fields["expiry"] > 0 > before["server"].fields["expiry"]


async def test_openssl_is_asked_once_a_day_and_never_when_it_is_missing(collector, signed, caplog):
    folder = signed(10)
    asked = []

    async def run(command, *, seconds):
        asked.append(command)
        raise FileNotFoundError(2, "No such file or directory", "openssl")

    one = collector("x509_cert", None, run, sources=(f"{folder}/server.pem",))
    for _ in range(2):
        (point,) = await one.collect(time.time_ns())
        assert "verification" not in point.tags
    assert len(asked) == 1


async def test_a_file_that_was_named_and_is_gone_is_a_point(collector, tmp_path, caplog):
    one = collector("x509_cert", sources=(f"{tmp_path}/gone.pem",))
    for _ in range(2):
        (point,) = await one.collect(0)
    assert point.fields == {"verification_code": 1, "verification_error": "No such file or directory"}
    assert caplog.text.count("gone.pem") == 1
