"""What systemd hands over to the centre's unit, for commands that a person types beside it: credentials and environment."""

import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

UNIT: Final = "pantau-server.service"
_FOLDERS: Final = ("etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
_STORES: Final = ("etc/credstore", "run/credstore", "usr/lib/credstore")
_ROOT: Final = Path("/")


def credential_file(name: str, environment: Mapping[str, str] = os.environ, root: Path = _ROOT) -> Path | None:
    """Return where a credential is: in this process's own folder, in that of the running unit, or where the unit loads it from.

    None when nothing hands it over. Whether the file can be read is for its reader to say.
    """
    if folder := environment.get("CREDENTIALS_DIRECTORY"):
        return Path(folder, name)
    running = root / "run/credentials" / UNIT / name
    return running if os.access(running, os.R_OK) else loaded_from(name, root)


def loaded_from(name: str, root: Path = _ROOT) -> Path | None:
    """Return the file that ``LoadCredential=`` of the unit names for a credential, None when it names none."""
    found: Path | None = None
    for value in _settings("LoadCredential", root):
        key, _, path = value.partition(":")
        if not value:
            found = None
        elif key == name:
            places = [root / store / (path or name) for store in _STORES]
            found = (
                root / path.lstrip("/") if path.startswith("/") else next((one for one in places if one.exists()), None)
            )
    return found


def has_variable(name: str, root: Path = _ROOT) -> bool:
    """Return whether the unit's environment has a variable, by ``Environment=`` or a file of ``EnvironmentFile=``."""
    words = [word for value in _settings("Environment", root) for word in shlex.split(value)]
    for value in _settings("EnvironmentFile", root):
        try:
            words += (root / value.removeprefix("-").lstrip("/")).read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
    return any(word.strip().startswith(f"{name}=") for word in words)


def _settings(key: str, root: Path) -> Iterator[str]:
    """Yield what the unit and its drop-ins say of a key, in systemd's order; "" takes back what was said before."""
    units = [root / folder / UNIT for folder in _FOLDERS]
    drop_ins: dict[str, Path] = {}
    for folder in reversed(_FOLDERS):
        drop_ins |= {file.name: file for file in sorted((root / folder / f"{UNIT}.d").glob("*.conf"))}
    unit = next((file for file in units if file.exists()), None)
    for file in [*([unit] if unit else []), *(drop_ins[name] for name in sorted(drop_ins))]:
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            name, equals, value = line.partition("=")
            if equals and name.strip() == key:
                yield value.strip()
