"""The http check against nginx: what it says of each answer, case by case."""

import re
import time

import msgspec
import pytest

PHASES = ["dns", "connect", "first_byte", "transfer"]


async def test_it_tells_each_answer_by_its_reason(subtests, run, web, cases):
    for case in cases("http"):
        with subtests.test(case["name"]):
            result = await run("http", url=web.url + case["path"], **case.get("options", {}))
            assert (result.status, result.reason) == (case["status"], case["reason"]), result
            assert case.get("detail", "") in result.detail
            assert case.get("facts", {}).items() <= dict(result.facts).items()
            assert "\n" not in result.detail


async def test_the_result_names_check_subject_and_the_instant_it_was_given(build, web):
    result = await build("http", url=web.url).run(1_780_000_000_000)
    assert (result.check, result.subject, result.at) == ("simpus-http", "service/simpus", 1_780_000_000_000)
    assert msgspec.json.encode(result)


async def test_phases_are_complete_and_add_up_to_the_time_it_took(run, web):
    before = time.perf_counter()
    result = await run("http", url=web.url + "/hop")
    outside = time.perf_counter() - before
    assert list(result.phases) == PHASES
    assert all(spent >= 0 for spent in result.phases.values())
    assert result.took == pytest.approx(sum(result.phases.values()), abs=1e-9)
    assert 0 < result.took <= outside


async def test_transfer_is_the_phase_that_a_slow_body_lengthens(run, web):
    result = await run("http", url=web.url + "/drip.html", max_body="4KB")
    assert result.phases["transfer"] > 0.5
    assert result.phases["first_byte"] < result.phases["transfer"]


async def test_each_hop_is_recorded_with_its_status_and_time(run, web):
    result = await run("http", url=web.url + "/hop")
    assert re.fullmatch(rf"301 {web.url}/hop \d\.\d+.*", result.facts["hop_1"])
    assert re.fullmatch(rf"302 {web.url}/hop2 \d\.\d+.*", result.facts["hop_2"])
    assert result.facts["url"] == f"{web.url}/"
    assert result.facts["address"] == "127.0.0.1"


async def test_a_compressed_body_counts_as_it_came(run, web):
    result = await run("http", url=web.url + "/big.html", body_present="Kesehatan")
    assert 0 < result.facts["bytes"] < 20_000


async def test_a_name_of_the_hosts_file_works(run, web):
    result = await run("http", url=f"http://localhost:{web.port}/")
    assert result.status == "up"


async def test_it_is_down_with_refused_when_nothing_listens(run):
    result = await run("http", url="http://localhost:1/")
    assert (result.status, result.reason, result.detail) == ("down", "refused", "connection refused")
    assert set(result.phases) == {"dns", "connect"}


async def test_basic_and_bearer_reach_the_server(run, web, monkeypatch):
    monkeypatch.setenv("UJI_SANDI", "s3kr3t-sandi")
    url = web.url + "/private"
    result = await run("http", url=url, basic_user="pantau", basic_password={"env": "UJI_SANDI"})
    assert result.status == "up"
    result = await run("http", url=web.url + "/echo", bearer={"env": "UJI_SANDI"}, body_present="Bearer s3kr3t-sandi")
    assert result.status == "up"


async def test_a_secret_is_read_afresh_and_its_absence_is_not_held_against_the_service(build, web, tmp_path, now_ms):
    check = build("http", url=web.url + "/echo", bearer={"file": "token"}, body_present="Bearer baru-sekali")
    result = await check.run(now_ms)
    assert (result.status, result.reason) == ("unknown", "bug")
    assert "cannot read the secret file" in result.detail
    (tmp_path / "token").write_text("baru-sekali\n")
    assert (await check.run(now_ms)).status == "up"
    (tmp_path / "token").write_text("baru\nsekali\n")
    result = await check.run(now_ms)
    assert (result.status, result.reason) == ("unknown", "bug")
    assert "sekali" not in result.detail


async def test_secrets_follow_a_redirect_within_the_origin_and_never_beyond(run, web, monkeypatch):
    monkeypatch.setenv("UJI_KUNCI", "kunci-rahasia")
    secrets = {"secret_headers": {"X-Api-Key": {"env": "UJI_KUNCI"}}, "bearer": {"env": "UJI_KUNCI"}}
    own = await run("http", url=web.url + "/away", headers={"Authorization": "x"}, body_present=r"auth=\[\]")
    near = await run("http", url=web.url + "/near", body_present=r"key=\[kunci-rahasia\]", **secrets)
    away = await run("http", url=web.url + "/away", body_present=r"auth=\[\] key=\[\]", **secrets)
    assert (near.status, away.status, own.status) == ("up", "up", "up")


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("good", "up", "ok"),
        ("expired", "down", "tls_expired"),
        ("expiring", "up", "tls_expiring"),
        ("wrong_name", "down", "tls_name"),
        ("self_signed", "down", "tls_untrusted"),
        ("incomplete", "down", "tls_untrusted"),
    ],
)
async def test_a_bad_certificate_is_told_by_its_own_reason(run, web, pki, name, status, reason):
    result = await run("http", url=f"https://localhost:{web.tls[name]}/", ca_file=pki.ca, warn_days=21)
    assert (result.status, result.reason) == (status, reason), result
    assert "tls" in result.phases


async def test_the_own_authority_is_not_believed_unless_told(run, web):
    result = await run("http", url=f"https://localhost:{web.tls['good']}/")
    assert (result.status, result.reason) == ("down", "tls_untrusted")


async def test_verify_off_believes_anybody(run, web):
    result = await run("http", url=f"https://localhost:{web.tls['expired']}/", verify=False)
    assert (result.status, result.facts["days_left"], result.facts["tls_version"]) == ("up", -3, "TLSv1.3")
    assert list(result.phases) == ["dns", "connect", "tls", "first_byte", "transfer"]


async def test_https_to_a_server_without_tls_is_a_failed_handshake(run, web):
    result = await run("http", url=f"https://localhost:{web.port}/")
    assert (result.status, result.reason) == ("down", "tls_failed")
