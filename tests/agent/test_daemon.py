"""The agent as a process: started, disturbed and ended the way an administrator and systemd do it."""

import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
from parts import wait_for

from agent import daemon


def test_points_arrive_with_host_and_aligned_times(agent, centre):
    agent.start()
    wait_for(lambda: len(centre.lines) >= 7, 10, "seven points")
    assert agent.end()[0] == 0
    assert all(line.startswith(b"counter,host=srv-1 n=") for line in centre.lines)
    late = sorted(int(line.rsplit(b" ", 1)[1]) % 200_000_000 for line in centre.lines)
    assert late[len(late) // 2] < 50_000_000  # of most: a busy machine makes one late


def test_sigterm_with_a_hanging_centre_drains_into_the_spool_within_five_seconds(agent, centre):
    centre.mood = "hang"
    agent.start()
    wait_for(lambda: centre.requests, 10, "a request")
    time.sleep(0.5)
    code, took = agent.end()
    assert (code, took < 5) == (0, True)
    collected, delivered, dropped, quarantined, rejected, spooled = agent.tally()
    assert collected == spooled > 0
    assert (delivered, dropped, quarantined, rejected) == (0, 0, 0, 0)


def test_kill_9_loses_nothing_that_was_spooled_and_the_next_run_delivers_it(agent, centre):
    centre.vanish()
    agent.start()
    wait_for(lambda: agent.state().exists() and len(agent.spooled()) >= 4, 10, "a backlog")
    agent.end(signal.SIGKILL)
    waiting = agent.spooled()
    centre.start()
    agent.start()
    wait_for(lambda: waiting <= set(centre.lines), 10, "the backlog")
    wait_for(lambda: set(centre.lines) - waiting, 10, "live data")
    assert agent.end()[0] == 0
    collected, delivered, *lost, spooled = agent.tally()
    assert collected == delivered + spooled
    assert lost == [0, 0, 0]


def test_a_collector_that_hangs_in_a_thread_holds_up_neither_the_others_nor_the_end(agent, centre, caplog):
    agent.write(
        collectors="[collectors.hung]\ntype = 'mine:Hung'\n[collectors.lacking]\ntype = 'mine:Lacking'\n"
        "[collectors.counter]\ntype = 'mine:Counter'\n"
    )
    agent.start()
    wait_for(lambda: len(centre.lines) >= 5, 10, "points of the other")
    wait_for(lambda: "collector hung failed" in agent.log.read_text(), 10, "its end")
    code, took = agent.end()
    assert (code, took < 5) == (0, True)
    log = agent.log.read_text()
    assert log.count("collector lacking is off") == 1
    assert "/proc/no/such/thing" in log


def test_a_second_agent_on_the_same_state_folder_is_told_so(agent, centre):
    agent.start()
    wait_for(lambda: centre.lines, 10, "points")
    second = agent.run()
    assert second.returncode == 2
    assert f"another pantau-agent (process {agent.process.pid}) uses the state folder" in second.stderr
    assert second.stderr.count("\n") == 1
    assert agent.process.poll() is None


def test_sighup_during_the_start_ends_nothing_and_the_settings_are_read_again(agent, centre):
    agent.write(collectors="[collectors.counter]\ntype = 'slow:Counter'\n")
    (agent.folder / "slow.py").write_text("import time\ntime.sleep(1.5)\nfrom mine import *\n")  # a slow import
    agent.start()
    wait_for(agent.catches_hangups, 10, "a handler")
    for _ in range(50):
        agent.process.send_signal(signal.SIGHUP)
    agent.write(extra='[tags]\nagency = "dinkes"\n')
    agent.process.send_signal(signal.SIGHUP)
    wait_for(lambda: any(b"agency=dinkes" in line for line in centre.lines), 10, "points with the new tag")
    assert agent.end()[0] == 0


def test_an_agent_without_a_working_collector_still_lives(agent, centre, tmp_path):
    agent.write(collectors="[collectors.lacking]\ntype = 'mine:Lacking'\n")
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.settimeout(60)
        agent.env = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"}
        agent.start()
        wait_for(lambda: "collector lacking is off" in agent.log.read_text(), 10, "the complaint")
        assert [sock.recv(100) for _ in range(4)][-1] == b"WATCHDOG=1"
        assert agent.end()[0] == 0


def test_settings_that_were_refused_are_seen_at_the_centre(agent, centre):
    agent.write(internal="200ms")
    agent.start()
    wait_for(lambda: any(b"settings_refused=0i" in line for line in centre.lines), 10, "the state of the settings")
    agent.file.write_text(agent.file.read_text() + "\n[collectors.nothing]\n")
    agent.process.send_signal(signal.SIGHUP)
    wait_for(lambda: any(b"settings_refused=1i" in line for line in centre.lines), 10, "the refusal")
    assert any(
        b'settings_error="agent.toml:' in line and b"unknown collector 'nothing'" in line for line in centre.lines
    )
    agent.write(internal="200ms")
    agent.process.send_signal(signal.SIGHUP)
    before = len(centre.lines)
    wait_for(lambda: any(b"settings_refused=0i" in line for line in centre.lines[before:]), 10, "the mended settings")
    assert agent.end()[0] == 0


def test_sighup_takes_new_settings_and_a_bad_file_changes_nothing(agent, centre):
    agent.start()
    wait_for(lambda: centre.lines, 10, "points")
    agent.file.write_text("[agent\n")
    for _ in range(20):
        agent.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "the old ones stay in force: agent.toml:1" in agent.log.read_text(), 10, "the complaint")
    before = len(centre.lines)
    wait_for(lambda: len(centre.lines) > before, 10, "points with the old settings")
    agent.write(extra='[tags]\nagency = "dinkes"\n')
    agent.process.send_signal(signal.SIGHUP)
    wait_for(lambda: any(b"agency=dinkes" in line for line in centre.lines), 10, "points with the new tag")
    assert agent.end()[0] == 0


def test_a_drop_in_is_taken_at_sighup_and_given_up_when_it_is_removed(agent, centre):
    agent.start()
    wait_for(lambda: centre.lines, 10, "points")
    folder = agent.folder / "agent.d"
    folder.mkdir()
    (folder / "10-second.toml").write_text("[collectors.second]\ntype = 'mine:Counter'\n[tags]\nrole = 'web'\n")
    agent.process.send_signal(signal.SIGHUP)
    wait_for(lambda: any(b"role=web" in line for line in centre.lines), 10, "points with the drop-in's tag")
    (folder / "10-second.toml").unlink()
    agent.process.send_signal(signal.SIGHUP)
    before = len(centre.lines)
    wait_for(lambda: any(b"role=web" not in line for line in centre.lines[before:]), 10, "points without it")
    assert agent.end()[0] == 0
    assert "2 collectors, to" in agent.log.read_text()


def test_systemd_hears_of_readiness_of_life_and_of_the_end(agent, centre, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.settimeout(60)
        agent.env = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"}
        agent.start()
        assert sock.recv(100) == b"READY=1"
        assert sock.recv(100) == b"WATCHDOG=1"
        agent.process.send_signal(signal.SIGTERM)
        rest = [sock.recv(100)]
        while rest[-1] == b"WATCHDOG=1":
            rest.append(sock.recv(100))
        assert rest[-1] == b"STOPPING=1"
        assert agent.process.wait(10) == 0


def test_it_reports_about_itself_by_telegraf_s_names(agent, centre):
    agent.write(internal="200ms")
    agent.start()
    for part in (
        b"internal_agent,host=srv-1,version=",
        b"internal_gather,host=srv-1,input=counter ",
        b"clock_offset_ms=",
        b"metrics_written=",
        b'hostname="%b"' % socket.gethostname().encode(),
    ):
        wait_for(lambda part=part: any(part in line for line in centre.lines), 10, part)
    assert agent.end()[0] == 0


def test_a_broken_spool_is_no_crash_loop_and_is_seen_at_the_centre(agent, centre):
    agent.write(internal="200ms")
    (agent.folder / "state").mkdir()
    (agent.folder / "state/spool.db").write_bytes(b"this is no database" * 1000)
    agent.start()
    wait_for(lambda: any(b"spool_set_aside=1i" in line for line in centre.lines), 10, "word of the broken spool")
    assert (agent.folder / "state/spool.db.corrupt").exists()
    assert agent.end()[0] == 0


def test_once_sends_and_says_so(agent, centre):
    done = agent.run("--once")
    assert (done.returncode, done.stdout) == (0, f"1 of 1 lines delivered to {centre.url}\n")
    assert len(centre.lines) == 1
    assert not (agent.folder / "state").exists()


def test_once_tells_by_its_exit_code_that_nothing_arrived(agent, centre):
    centre.mood = (401, {}, '{"code":"unauthorized"}')
    done = agent.run("--once")
    assert done.returncode == 1
    assert "0 of 1 lines delivered" in done.stdout
    assert "HTTP 401" in done.stderr


def test_test_prints_line_protocol_of_the_second_reading_and_sends_nothing(agent, centre):
    done = agent.run("--test")
    assert done.returncode == 0
    assert done.stdout.startswith("counter,host=srv-1 n=2i ")
    assert centre.requests == []


def test_check_says_what_would_run_and_what_is_wrong_in_one_line(agent):
    done = agent.run("--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("1 collectors: counter\n")
    agent.write(extra="[colectors]\n")
    done = agent.run("--check")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "pantau-agent: agent.toml:2: unknown field 'colectors' in the top level; did you mean 'collectors'?\n"
    )


def test_a_missing_settings_file_is_one_line_and_exit_2(agent):
    agent.file.unlink()
    done = agent.run()
    assert (done.returncode, done.stderr) == (2, f"pantau-agent: {agent.file}: No such file or directory\n")


def test_the_state_folder_of_a_full_disk_is_done_without(tmp_path, monkeypatch, caplog):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    assert daemon.occupy(tmp_path / "state") is None
    assert "No space left" in caplog.text


def test_a_state_folder_that_cannot_be_made_is_said_plainly(tmp_path):
    (tmp_path / "state").write_text("a file")
    with pytest.raises(daemon.Occupied, match=r"cannot use the state folder .*: File exists"):
        daemon.occupy(tmp_path / "state")


def journald():
    """The environment of a service whose standard error journald reads."""
    about = os.fstat(sys.stderr.fileno())
    return {"JOURNAL_STREAM": f"{about.st_dev}:{about.st_ino}"}


def test_under_journald_each_line_of_the_log_has_its_level(capfd):
    import logging

    daemon.set_up_log(journald(), "info")
    log = logging.getLogger("pantau.agent.try")
    try:
        log.warning("one\ntwo")
        log.error("three")
    finally:
        logging.getLogger("pantau").handlers.clear()
        logging.getLogger("pantau").setLevel(logging.NOTSET)
    assert capfd.readouterr().err == "<4>one\n<4>two\n<3>three\n"


def test_what_a_service_started_with_its_error_output_elsewhere_has_no_marks(capfd):
    logger = logging.getLogger("pantau")
    before = logger.handlers, logger.level
    try:
        daemon.set_up_log({"JOURNAL_STREAM": "8:1"}, "info")
        logger.warning("one")
    finally:
        logger.handlers, logger.level = before
    assert capfd.readouterr().err.endswith(" WARNING one\n")


@pytest.mark.parametrize("environ", [dict, journald])
def test_the_log_shows_words_of_others_without_what_a_terminal_obeys(environ, capfd):
    logger = logging.getLogger("pantau")
    before = logger.handlers, logger.level
    try:
        daemon.set_up_log(environ(), "info")
        logging.getLogger("pantau.host.mysql").warning("/run/x tells: %s", "a\x1b[2J\x9b1A\u202e\ttab\nline")
    finally:
        logger.handlers, logger.level = before
    told = capfd.readouterr().err
    assert "/run/x tells: a?[2J?1A?\ttab\n" in told
    assert told.endswith("line\n")
