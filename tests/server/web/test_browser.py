"""The pages in a real Chromium."""

from pathlib import Path

import pytest
from parts import wait_for
from playwright.sync_api import sync_playwright
from sqlalchemy import insert, update

from alerts import tables
from collectors.result import Reason, Status

CHROMIUM = "/usr/bin/chromium"
SWITCHES = [
    *("--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PASSWORD = "rahasia-sekali-1"
STAFF = (
    *("/", "/wall", "/services/simpus", "/services/portal?span=1h", "/hosts", "/hosts/srv-dinkes-1?span=6h"),
    *("/devices", "/devices/sw-03?port=Gi0%2F3&span=6h", "/incidents", "/incidents/40", "/reports"),
    *("/series", "/series?measurement=disk&field=used_percent&span=6h", "/status", "/account", "/buckets"),
)

# the contrast of WCAG 2.2 between each text and what lies behind it
CONTRAST = """() => {
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    pen.clearRect(0, 0, 1, 1); pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const over = (top, below) => [0, 1, 2].map((at) => (top[at] * top[3] + below[at] * (255 - top[3])) / 255);
  const light = (colour) => {
    const [r, g, b] = colour.map((one) => (one /= 255) <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const bad = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !node.checkVisibility() || node.closest("svg, [aria-hidden=true], noscript, option")) continue;
    const style = getComputedStyle(node);
    const ground = behind(node);
    const ink = over(rgba(style.color), ground);
    const [dark, bright] = [light(ink), light(ground)].sort((a, b) => a - b);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const ratio = (bright + 0.05) / (dark + 0.05);
    if (ratio < (large ? 3 : 4.5)) bad.push([texts.currentNode.data.trim().slice(0, 30), node.className, ratio.toFixed(2)]);
  }
  return bad;
}"""


@pytest.fixture(scope="module")
def chromium():
    if not Path(CHROMIUM).exists():
        pytest.skip("chromium is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield browser
        browser.close()


@pytest.fixture
def look(chromium):
    """Return ``look(url, ...)``: a page whose every complaint and every request is kept."""
    contexts = []

    def make(url, *, width=1280, height=800, role="admin", **known):
        context = chromium.new_context(base_url=url, viewport={"width": width, "height": height}, **known)
        contexts.append(context)
        page = context.new_page()
        page.complaints, page.elsewhere = [], []
        page.on("console", lambda said: said.type in {"error", "warning"} and page.complaints.append(said.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda asked: asked.url.startswith(url) or page.elsewhere.append(asked.url))
        if role:
            log_in(page, role)
        return page

    yield make
    for context in contexts:
        context.close()


def log_in(page, role, path="/login"):
    page.goto(path)
    page.fill("#name", role)
    page.fill("#password", PASSWORD)
    follow(page, "main button[type=submit]")


def attend(page, town):
    """Go to the front page and wait until its stream is open, and no other."""
    page.goto("about:blank")  # lets go of the stream of the page before
    with page.expect_response("**/live"):
        page.goto("/")
    said = lambda: town.parts.feed.publish("look", {})  # noqa: E731 - only what is written shows that nobody reads
    wait_for(lambda: town.call(said) or town.parts.feed.listeners == 1, what="the stream")


def follow(page, selector):
    """Click what leads to another page, and wait until that is there."""
    with page.expect_navigation():
        page.click(selector)


@pytest.mark.parametrize(
    ("width", "scheme", "lang"),
    [(1280, "light", "id"), (1280, "dark", "en"), (360, "dark", "id"), (360, "light", "en")],
)
def test_every_page_is_quiet_legible_and_fits(town, look, width, scheme, lang):
    page = look(town.url, width=width, color_scheme=scheme)
    page.goto(f"/preferences?lang={lang}")
    for path in STAFF:
        page.goto(path, wait_until="load")
        assert page.evaluate("document.documentElement.lang") == lang
        if page.query_selector("[data-chart]"):
            page.wait_for_selector(".chart canvas, .chart-note")
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
        assert page.evaluate(CONTRAST) == [], path
    assert page.complaints == []
    assert page.elsewhere == []
    page.evaluate("document.querySelector('main h1').style.color = getComputedStyle(document.body).backgroundColor")
    assert page.evaluate(CONTRAST) != [], "the measure itself"


def test_charts_draw_lines(town, look):
    page = look(town.url)
    page.goto("/hosts/srv-dinkes-1?span=6h")
    page.wait_for_selector(".u-legend")
    page.locator(".chart canvas").nth(5).wait_for()
    assert page.locator(".chart canvas").count() == 6
    assert page.locator(".chart-note").count() == 0
    labels = page.locator(".chart-card").nth(3).locator(".u-label").all_inner_texts()
    assert labels[1:] == ["masuk", "keluar"]
    values = page.locator(".u-value").all_inner_texts()
    assert "93,1%" in values, "the newest value is told before anybody points at it"
    assert "–" not in values


def test_without_script_everything_is_there(town, look):
    page = look(town.url, java_script_enabled=False)
    page.goto("/")
    assert page.locator(".problem").count() == 7
    follow(page, "a.service-name >> text=SIMPUS")
    page.wait_for_selector("text=Ketersediaan Juni 2026")
    picture = page.locator(".chart noscript img, .chart img").first
    assert picture.bounding_box()["height"] > 100
    page.goto("/series?measurement=disk")
    page.select_option("#field", "used_percent")
    follow(page, "main form button")
    assert "field=used_percent" in page.url
    follow(page, "[hreflang=en]")
    assert page.url.endswith("span=24h")
    assert page.inner_text("h1") == "Data series"


@pytest.mark.parametrize("script", [True, False])
def test_login_and_acknowledge_by_clicking(tmp_path, served, look, script):
    with served(tmp_path) as own:
        page = look(own.url, role=None, java_script_enabled=script)
        page.goto("/incidents/40")
        assert "/login" in page.url
        page.fill("#name", "operator")
        page.fill("#password", "salah-salah-salah")
        follow(page, "main button[type=submit]")
        assert page.inner_text("[role=alert]") == "Nama atau kata sandi tidak cocok."
        page.fill("#password", PASSWORD)
        follow(page, "main button[type=submit]")
        page.fill("#note", "menuju ruang server")
        page.click("text=Tandai ditangani")
        page.wait_for_selector("text=Ditangani oleh operator")
        assert page.inner_text("blockquote") == "menuju ruang server"
        follow(page, "text=Keluar")
        page.wait_for_selector("#password")
        page.goto("/incidents/40")
        assert "/login" in page.url


def test_a_change_reaches_an_open_page_without_a_reload(tmp_path, served, look):
    with served(tmp_path) as own:
        page = look(own.url)
        attend(page, own)
        page.evaluate("window.mark = 1")
        row = page.locator("#row-portal")
        assert "berfungsi" in row.inner_text()
        own.believe("portal-http", "service/portal", status=Status.DOWN, reason=Reason.TIMEOUT)
        own.call(lambda: own.parts.feed.publish("flip", {"subject": "service/portal", "status": "down"}))
        page.wait_for_selector("#row-portal .state.down", timeout=60_000)
        page.wait_for_selector("text=5 dari 38 layanan terganggu")
        assert page.evaluate("window.mark") == 1
        assert page.complaints == []


def test_a_lost_stream_is_said_and_comes_back(tmp_path, served, look):
    with served(tmp_path) as own:
        page = look(own.url)
        attend(page, own)
        page.context.set_offline(True)
        own.call(own.end_streams)
        page.wait_for_selector("#offline:not([hidden])", timeout=60_000)
        page.context.set_offline(False)
        page.wait_for_selector("#offline", state="hidden", timeout=60_000)


def test_a_page_that_nobody_sees_leaves_its_connection_to_others(tmp_path, served, look):
    show = """(hidden) => {
      Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    with served(tmp_path) as own:
        page = look(own.url)
        page.clock.install()
        attend(page, own)
        page.evaluate(show, True)
        page.clock.fast_forward(11_000)
        said = lambda: own.parts.feed.publish("look", {})  # noqa: E731 - only what is written shows that nobody reads
        wait_for(lambda: own.call(said) or own.parts.feed.listeners == 0, what="the end of the stream")
        own.believe("portal-http", "service/portal", status=Status.DOWN, reason=Reason.TIMEOUT)
        page.evaluate(show, False)
        wait_for(lambda: own.parts.feed.listeners == 1, what="the stream once more")
        page.clock.fast_forward(1000)
        page.wait_for_selector("#row-portal .state.down", timeout=60_000)
        assert page.complaints == []


def test_a_list_that_was_unfolded_stays_so_when_the_page_changes(tmp_path, served, look):
    with served(tmp_path) as own:
        for n in range(6):
            known = {
                "id": 100 + n,
                "check_id": "rule/silent",
                "subject": f"host/h{n}",
                "status": "down",
                "severity": "high",
            }
            own.write(insert(tables.incident).values(reason="silent", opened_ms=1, confirmed_ms=1, **known))
        page = look(own.url)
        attend(page, own)
        page.click("summary")
        page.wait_for_selector(".cluster a >> text=h5")
        own.write(update(tables.incident).where(tables.incident.c.id == 105).values(closed_ms=1))
        own.call(lambda: own.parts.feed.publish("incident", {"incident": 105}))
        page.wait_for_selector(".cluster a >> text=h5", state="detached")
        assert page.is_visible(".cluster a >> text=h4")
        page.click("text=Saya tangani semua")
        page.wait_for_selector(".problem.acked >> text=ditangani oleh admin")
        assert page.complaints == []


def test_the_switches_of_light_and_language_are_remembered(town, look):
    page = look(town.url, color_scheme="light", role=None)
    page.goto("/status")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    follow(page, ".tools a.tool[href*='theme=dark']")
    assert page.evaluate(ground) != light
    follow(page, "[hreflang=en]")
    assert page.evaluate("document.documentElement.lang") == "en"
    page.goto("/login")
    assert (page.evaluate(ground) != light, page.inner_text("h1")) == (True, "Log in")


def test_the_keyboard_reaches_the_content_first_and_shows_where_it_is(town, look):
    page = look(town.url)
    page.goto("/hosts")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px"


def test_the_filter_hides_what_does_not_match(town, look):
    page = look(town.url)
    page.goto("/")
    page.fill(".filter input", "kesehatan pus")
    assert page.locator(".service:visible").count() == 1
    page.fill(".filter input", "tidak ada sama sekali")
    page.wait_for_selector("#nothing:visible")
