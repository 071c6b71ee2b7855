"""Backups for tests that are made and brought back without a command."""

import asyncio
from pathlib import Path

from server.admin.acting import owner_for
from server.admin.backup import Pieces, copied
from server.admin.backup_file import save
from server.admin.manifest import Manifest
from server.admin.restore import restore as bring_back
from server.store.buckets import Buckets


async def make(buckets: Buckets, state_url: str, to: Path, data: Path, *, at: int = 7, version: str = "1") -> Manifest:
    """Make a backup at ``to`` by way of a copy in ``data``."""
    async with copied(buckets, state_url, data, at=at, version=version) as pieces:
        return await asyncio.to_thread(save, Pieces(pieces), to)


def restore(source: Path, data: Path) -> Manifest:
    """Bring it back for whom runs this."""
    return bring_back(source, data, owner_for(data.parent))
