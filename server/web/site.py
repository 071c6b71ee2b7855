"""What the web says of itself: the name of the site, its address, its language and the zone of its times."""

from collections.abc import Sequence

import msgspec

from alerts.i18n.catalogue import LanguageCode


class Site(msgspec.Struct, frozen=True):
    """The site as people see it.

    ``public_url`` is the address that people use, without a slash at the end ("" when nobody said); ``trusted_proxies`` are
    addresses of reverse proxies whose ``X-Forwarded-For`` is believed.
    """

    zone: str = "Asia/Jakarta"
    language: LanguageCode = "id"
    title: str = "Pantau"
    public_url: str = ""
    trusted_proxies: Sequence[str] = ()

    @property
    def secure(self) -> bool:
        """Whether people come by https, so that cookies are theirs alone."""
        return self.public_url.startswith("https://")
