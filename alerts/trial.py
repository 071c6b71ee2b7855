"""A message that only tries a channel: nothing is wrong, and it says so."""

from alerts.channels import Message
from alerts.i18n.catalogue import LanguageCode, Texts


def trial(key: str, channel: str, title: str, language: LanguageCode) -> Message:
    """Return a message for whoever is reached by ``channel``; ``key`` is new each time, ``title`` is what the centre is called.

    ``Message.kind`` is "trial", its facts are ``kind`` and ``channel``. Reads texts the first time.
    """
    texts = Texts(language)
    return Message(
        key=key,
        thread=key,
        kind="trial",
        title=texts.gettext("🔔 UJI COBA · {title}", title=title),
        text=texts.gettext(
            "Ini pesan uji coba: tidak ada gangguan. Bila Anda membacanya, saluran “{channel}” sampai kepada Anda.",
            channel=channel,
        ),
        facts={"kind": "trial", "channel": channel},
    )
