"""What templates know of a language."""

from collections.abc import Callable
from functools import partial
from typing import Any

from alerts.i18n.language import Language


def template_globals(language: Language) -> dict[str, Any]:
    """Return the names that templates find texts and formats by: ``_``, ``ngettext``, ``pgettext`` and the language itself, ``L``."""
    return {
        "L": language,
        "_": partial(_filled, language.gettext),
        "ngettext": partial(_filled, language.ngettext),
        "pgettext": partial(_filled, language.pgettext),
    }


def _filled(translate: Callable[..., str], *texts: Any, **values: Any) -> str:
    return translate(*texts, **{name: _unescaped(value) for name, value in values.items()})


def _unescaped(value: Any) -> Any:
    """Return what a macro made as plain text: the template escapes the whole text that it goes into."""
    return value.unescape() if hasattr(value, "unescape") else value
