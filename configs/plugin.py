"""Find a plug-in's class, and the settings that stand beside it, by the name that settings give."""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any


def same_recipe(recipe: Callable[[], object], other: Callable[[], object]) -> bool:
    """Return whether two ``partial``s make the same thing: one class, with equal settings."""
    if not isinstance(recipe, partial) or not isinstance(other, partial):
        return recipe is other
    return (recipe.func, recipe.args, recipe.keywords) == (other.func, other.args, other.keywords)


def find(kind: str, name: str, plugins: Mapping[str, str]) -> tuple[Any, Any]:
    """Return the class for ``name`` and its ``Options``: one of ``plugins`` (name -> ``module:Class``) or a dotted path.

    A third party's plug-in is named ``package.module:Class``. Only the module of the class that was asked for is imported.
    Raises ValueError that lists what is known, or says which package is missing.
    """
    path = plugins.get(name, name)
    module, colon, attribute = path.partition(":")
    if not colon:
        names = ", ".join(sorted(plugins))
        raise ValueError(f"unknown {kind} {name!r}; known: {names}, or a class as 'package.module:Class'")
    try:
        plugin = getattr(import_module(module), attribute)
        return plugin, sys.modules[plugin.__module__].Options  # type: ignore[attr-defined,unused-ignore]
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{kind} {name!r} cannot be loaded: {error}") from error
