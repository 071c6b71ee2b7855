"""Find a plug-in's class by the name that settings give."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any


def find(kind: str, name: str, known: Mapping[str, str]) -> Any:
    """Return the class for ``name``: one of ``known`` (name -> ``module:Class``) or a dotted path ``package.module:Class``.

    Raises ValueError that lists what is known. Only the module of the class that was asked for is imported.
    """
    path = known.get(name, name)
    module, colon, attribute = path.partition(":")
    if not colon:
        raise ValueError(
            f"unknown {kind} {name!r}; known: {', '.join(sorted(known))}, or a class as 'package.module:Class'"
        )
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{kind} {name!r} cannot be loaded: {error}") from error
