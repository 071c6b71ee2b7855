"""A file system that hangs costs one thread, and nobody else waits."""

import os
import threading
import time

import pytest

from collectors.host.sources.probe import Prober, statvfs_by_child

TOLD = os.statvfs_result((4096, 4096, 10, 5, 5, 10, 5, 5, 0, 255))


class Hanging:
    """Answers like statvfs, but hangs on some paths until they are released."""

    def __init__(self, *paths):
        self.gates = {path: threading.Event() for path in paths}
        self.calls = []

    def __call__(self, path):
        self.calls.append(path)
        if path in self.gates:
            self.gates[path].wait(60)
        if path == "/broken":
            raise OSError(5, "Input/output error")
        return TOLD

    def release(self):
        for gate in self.gates.values():
            gate.set()


@pytest.fixture
def hanging():
    made = []

    def make(*paths):
        made.append(Hanging(*paths))
        return made[-1]

    yield make
    for one in made:
        one.release()


def probing():
    return sum(thread.name == "statvfs" for thread in threading.enumerate())


async def test_all_paths_are_asked_by_one_thread(hanging):
    seen = set()
    statvfs = hanging()

    def noting(path):
        seen.add(threading.current_thread())
        return statvfs(path)

    still = lambda: 0.0  # noqa: E731 - a clock: no answer seems late, however busy this machine is
    answers = await Prober(1, statvfs=noting, elapsed=still).ask(f"/mnt/{n}" for n in range(2000))
    assert len(answers) == 2000
    assert len(seen) == 1


async def test_an_error_is_an_answer(hanging):
    answers = await Prober(1, statvfs=hanging()).ask(["/", "/broken"])
    assert answers["/"] == TOLD
    assert isinstance(answers["/broken"], OSError)


async def test_nothing_to_ask_is_answered_at_once(hanging):
    assert await Prober(1, statvfs=hanging()).ask([]) == {}


async def test_a_path_that_hangs_holds_up_no_other_and_is_asked_once(hanging, until):
    statvfs = hanging("/nfs")
    prober = Prober(3.0, statvfs=statvfs)
    start = time.monotonic()
    answers = await prober.ask(["/", "/nfs", "/var", "/home"])
    assert 3.0 <= time.monotonic() - start < 15
    assert set(answers) == {"/", "/var", "/home"}
    assert prober.hanging() == {"/nfs"}

    for _ in range(3):
        start = time.monotonic()
        assert set(await prober.ask(["/", "/nfs", "/var", "/home"])) == {"/", "/var", "/home"}
        assert time.monotonic() - start < 3.0
    assert statvfs.calls.count("/nfs") == 1
    await until(lambda: probing() == 1)


async def test_a_path_that_comes_back_is_asked_again(hanging, until):
    statvfs = hanging("/nfs")
    prober = Prober(1.0, statvfs=statvfs)
    await prober.ask(["/nfs"])
    assert prober.hanging() == {"/nfs"}
    statvfs.release()
    await until(lambda: not prober.hanging())
    assert await prober.ask(["/nfs"]) == {"/nfs": TOLD}
    await until(lambda: probing() == 0)


async def test_what_a_former_prober_gave_up_is_not_asked_again_before_it_answers(hanging, until):
    statvfs = hanging("/nfs")
    for _ in range(3):
        prober = Prober(1.0, statvfs=statvfs)
        assert set(await prober.ask(["/nfs", "/"])) == {"/"}
        assert prober.hanging() == {"/nfs"}
    assert statvfs.calls.count("/nfs") == 1
    assert Prober(0.1).hanging() == set()
    statvfs.release()
    await until(lambda: not prober.hanging())
    assert set(await prober.ask(["/nfs", "/"])) == {"/nfs", "/"}


async def test_several_that_hang_wait_together_not_one_after_the_other(hanging):
    prober = Prober(2.0, threads=4, statvfs=hanging("/a", "/b", "/c"))
    start = time.monotonic()
    assert set(await prober.ask(["/a", "/b", "/c", "/d"])) == {"/d"}
    assert time.monotonic() - start < 5.8


async def test_threads_are_bounded_however_many_hang(hanging, until):
    await until(lambda: probing() == 0)  # of the tests before
    names = [f"/nfs{n}" for n in range(20)]
    prober = Prober(0.2, threads=3, statvfs=hanging(*names))
    for _ in range(3):
        assert await prober.ask(names) == {}
        assert len(prober.hanging()) == 3
        await until(lambda: probing() == 3)


async def test_a_slow_path_within_the_limit_still_answers(hanging, until):
    statvfs = hanging("/slow")
    prober = Prober(5, statvfs=statvfs)
    threading.Timer(0.3, statvfs.release).start()
    assert set(await prober.ask(["/slow", "/"])) == {"/slow", "/"}
    await until(lambda: probing() == 0)


def test_a_child_tells_what_the_call_tells(tmp_path):
    here, told = os.statvfs(tmp_path), statvfs_by_child(str(tmp_path))
    for name in ("f_bsize", "f_frsize", "f_blocks", "f_files"):
        assert getattr(told, name) == getattr(here, name)
    assert told.f_bavail == pytest.approx(here.f_bavail, rel=0.1)


def test_what_a_child_may_not_ask_is_an_error(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        statvfs_by_child(str(tmp_path / "gone"))


def test_without_a_program_to_ask_it_asks_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert statvfs_by_child("/").f_blocks == os.statvfs("/").f_blocks
