"""The tls check against nginx with certificates in every state."""

import asyncio


async def test_it_tells_each_certificate_by_its_reason(subtests, run, web, pki, cases):
    for case in cases("tls"):
        name = case["certificate"]
        with subtests.test(name):
            result = await run("tls", host="localhost", port=web.tls[name], ca_file=pki.ca)
            assert (result.status, result.reason) == (case["status"], case["reason"]), result
            assert case.get("detail", "") in result.detail
            assert case.get("facts", {}).items() <= dict(result.facts).items(), result.facts
            assert list(result.phases) == ["dns", "connect", "tls"]


async def test_another_server_name_is_asked_for_and_verified(run, web, pki):
    result = await run("tls", host="127.0.0.1", port=web.tls["wrong_name"], server_name="lain.example", ca_file=pki.ca)
    assert (result.status, result.facts["subject"]) == ("up", "CN=lain.example")


async def test_verify_off_still_watches_the_dates(run, web):
    expired = await run("tls", host="localhost", port=web.tls["expired"], verify=False)
    assert (expired.status, expired.reason) == ("down", "tls_expired")
    own = await run("tls", host="localhost", port=web.tls["self_signed"], verify=False)
    assert (own.status, own.facts["days_left"], own.facts["chain"]) == ("up", 90, "unverified")


async def test_the_protocol_and_cipher_are_facts(run, web, pki):
    result = await run("tls", host="localhost", port=web.tls["good"], ca_file=pki.ca)
    assert result.facts["tls_version"] == "TLSv1.3"
    assert result.facts["cipher"].startswith("TLS_")
    assert result.facts["issuer"] == "CN=Antara Uji"


async def test_days_are_counted_from_the_instant_it_was_given(build, web, pki, now_ms):
    check = await asyncio.to_thread(build, "tls", host="localhost", port=web.tls["good"], ca_file=pki.ca)
    result = await check.run(now_ms + 80 * 86_400_000)
    assert (result.status, result.reason, result.facts["days_left"]) == ("up", "tls_expiring", 10)


async def test_a_port_without_tls_is_a_failed_handshake(run, web):
    result = await run("tls", host="localhost", port=web.port)
    assert (result.status, result.reason) == ("down", "tls_failed")


async def test_a_handshake_that_is_cut_is_a_lost_connection(serving, run):
    async def hang_up(reader, writer):
        await reader.read(1)

    async with serving(hang_up) as port:
        result = await run("tls", host="localhost", port=port)
    assert (result.status, result.reason) == ("down", "connection_lost")


async def test_many_at_once_do_not_disturb_each_other(build, web, pki, now_ms):
    check = await asyncio.to_thread(build, "tls", host="localhost", port=web.tls["good"], ca_file=pki.ca)
    results = await asyncio.gather(*(check.run(now_ms) for _ in range(20)))
    assert {result.status for result in results} == {"up"}
