"""Static files: read once, addressed by their content, so that a browser keeps each one for ever and never an old one."""

import gzip
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import hdrs, web

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    "": "text/plain; charset=utf-8",
}
_FOR_EVER: Final = "public, max-age=31536000, immutable"


class Asset(msgspec.Struct, frozen=True):
    """One static file: its address, what it is, and its bytes plain and packed."""

    url: str
    kind: str
    plain: bytes
    packed: bytes


def read(folder: Path) -> dict[str, Asset]:
    """Read every file below ``folder`` by its relative name. Reads files."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in _TYPES:
            name, plain = path.relative_to(folder).as_posix(), path.read_bytes()
            url = f"/static/{hashlib.sha256(plain).hexdigest()[:16]}/{name}"
            found[name] = Asset(url, _TYPES[path.suffix], plain, gzip.compress(plain, 9, mtime=0))
    return found


def respond(request: web.Request, assets: Mapping[str, Asset]) -> web.Response:
    """Answer ``/static/HASH/NAME``; a file that changed since the page was made is served fresh and not kept."""
    asset = assets.get(request.match_info["name"])
    if asset is None:
        raise web.HTTPNotFound
    packs = "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "")
    keep = _FOR_EVER if asset.url == request.path else "no-cache"
    headers = {hdrs.CONTENT_TYPE: asset.kind, hdrs.CACHE_CONTROL: keep, hdrs.VARY: hdrs.ACCEPT_ENCODING}
    if packs:
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    return web.Response(body=asset.packed if packs else asset.plain, headers=headers)
