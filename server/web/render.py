"""Making pages out of templates: one Jinja environment a language, read once."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from jinja2 import BytecodeCache, DictLoader, Environment, StrictUndefined
from jinja2.bccache import Bucket

from alerts.i18n.catalogue import LanguageCode
from alerts.i18n.language import Language, languages
from alerts.i18n.templates import template_globals
from collectors import catalogue
from collectors.catalogue import Catalogue
from server.readmodel.units import unit_of
from server.web import assets, bars
from server.web.assets import Asset
from server.web.clusters import clusters, kind

HERE: Final = Path(__file__).parent


class Renderer:
    """Templates, texts and static files, held in memory. Building it reads files: do that off the event loop."""

    def __init__(self, zone: str) -> None:
        self.languages = languages(zone)
        self.catalogue = catalogue.read()
        self.assets = assets.read(HERE / "static")
        folder = HERE / "templates"
        sources = {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in folder.rglob("*.html")}
        compiled = _Compiled()
        self._environments = {
            code: _environment(sources, spoken, self.assets, self.catalogue, compiled)
            for code, spoken in self.languages.items()
        }
        for environment in self._environments.values():
            for name in sources:
                environment.get_template(name)

    def pieces(self, template: str, code: LanguageCode, context: Mapping[str, Any]) -> Iterator[str]:
        """Yield a page as HTML, piece by piece; what a macro makes is one."""
        return self._environments[code].get_template(template).generate(context)


class _Compiled(BytecodeCache):
    """Templates compiled once for every language."""

    def __init__(self) -> None:
        self._codes: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._codes:
            bucket.bytecode_from_string(self._codes[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._codes[bucket.key] = bucket.bytecode_to_string()


def _environment(
    sources: Mapping[str, str],
    spoken: Language,
    known: Mapping[str, Asset],
    fields: Catalogue,
    compiled: BytecodeCache,
) -> Environment:
    environment = Environment(
        loader=DictLoader(sources),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        bytecode_cache=compiled,
    )
    environment.globals.update(
        template_globals(spoken),
        catalogue=fields,
        clusters=clusters,
        fault_kind=kind,
        static=lambda name: known[name].url,
        summarise=bars.summarise,
        unit_of=partial(unit_of, fields),
        pooled=bars.pooled,
    )
    environment.filters.update(path=lambda text: quote(str(text), safe=""), sentence=_sentence)
    return environment


def _sentence(text: str) -> str:
    """Begin a text with a capital; the rest stays (``capitalize`` would spoil names)."""
    return text[:1].upper() + text[1:]
