"""The look at backups that are expected: none yet, one that is too old, one that is new enough."""

import asyncio

import pytest

from collectors.result import Reason, Status
from configs.read import SettingsError
from server import settings
from server.state.last_backup import LastBackup, remember
from server.watching.expected_backups import ExpectedBackups
from server.watching.own_jobs import backup_job
from server.watching.watched import BACKUP_CHECK

HOUR = 3_600_000
NOW = 1_800_000_000_000


async def test_backups_that_stopped_or_never_began_are_told(tmp_path):
    async def look():
        (result,) = await backup_job(ExpectedBackups(tmp_path, 26 * 3600.0), asyncio.to_thread, 15.0).look(NOW)
        assert (result.check, result.at) == (BACKUP_CHECK, NOW)
        return result.status, result.reason, result.detail

    assert await look() == (Status.DEGRADED, Reason.NO_BACKUP, "no backup was made yet")
    await asyncio.to_thread(remember, tmp_path, LastBackup(NOW - 26 * HOUR, "/backups/x.tar", 7))
    assert await look() == (Status.UP, Reason.OK, "")
    await asyncio.to_thread(remember, tmp_path, LastBackup(NOW - 26 * HOUR - 1, "/backups/x.tar", 7))
    assert await look() == (Status.DEGRADED, Reason.NO_BACKUP, "no backup since 2027-01-14T05:59:59Z")
    await asyncio.to_thread((tmp_path / "last-backup.json").write_text, '{"at"')
    assert await look() == (Status.DEGRADED, Reason.NO_BACKUP, "no backup was made yet")


def test_nobody_looks_unless_settings_say_so(tmp_path):
    (tmp_path / "services.toml").write_text("")
    file = tmp_path / "server.toml"
    file.write_text('[server]\ndata = "data"\n')
    quiet = settings.read(file).watched
    assert (quiet.backups, quiet.names(BACKUP_CHECK, BACKUP_CHECK)) == (None, False)
    file.write_text('[server]\ndata = "data"\n[backup]\nexpect = "26h"\n')
    told = settings.read(file).watched
    assert told.backups == ExpectedBackups(tmp_path / "data", 93600.0)
    assert told.names(BACKUP_CHECK, BACKUP_CHECK)
    file.write_text('[backup]\nexpect = "soon"\n')
    with pytest.raises(SettingsError, match="expect"):
        settings.read(file)
