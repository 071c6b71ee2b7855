"""Whether two recipes of a plug-in make the same thing."""

from functools import partial
from pathlib import Path

from alerts.channels.webhook import Options, Webhook
from configs.plugin import same_recipe
from configs.secret import Secret


def recipe(name="hook", url="http://a/", token="one"):
    secret = Secret.parse({"file": token}, Path("/etc/pantau"))
    return partial(Webhook, name, Options(url=url, token=secret))


def test_equal_settings_make_the_same_and_any_other_does_not():
    assert same_recipe(recipe(), recipe())
    for other in (recipe(name="other"), recipe(url="http://b/"), recipe(token="two"), partial(list), list):
        assert not same_recipe(recipe(), other)
