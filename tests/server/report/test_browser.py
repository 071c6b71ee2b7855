"""The HTML report in a real Chromium: no request, no console message, no sideways scrolling, light and dark, wide and narrow."""

import datetime as dt

import parts
import pytest

from server.report import render

pytestmark = pytest.mark.real

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MADE = round(dt.datetime(2026, 9, 1, tzinfo=dt.UTC).timestamp() * 1000)


@pytest.mark.may_block
async def test_it_reads_well_on_every_screen_and_asks_nobody(city, tmp_path):
    playwright = pytest.importorskip("playwright.async_api")
    chromium = parts.require("chromium", "chromium")
    page_file = tmp_path / "report.html"
    page_file.write_text(render.html(city.report(), made=MADE, title="Pantau"), encoding="utf-8")
    asked, said = [], []
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        for scheme in ("light", "dark"):
            for width in (1280, 1040, 768, 360):
                page = await browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
                page.on("request", lambda request: asked.append(request.url))
                page.on("console", lambda message: said.append(message.text))
                page.on("pageerror", lambda error: said.append(str(error)))
                await page.goto(page_file.as_uri())
                assert await page.evaluate("document.documentElement.scrollWidth") <= width
                assert await page.locator("tbody tr").count() > 10
                ink, paper = await page.evaluate(
                    "[getComputedStyle(document.querySelector('.report')).color,"
                    " getComputedStyle(document.body).backgroundColor]"
                )
                assert (_light(ink), _light(paper)) == ((False, True) if scheme == "light" else (True, False))
                await page.close()
        await browser.close()
    assert {url for url in asked if not url.startswith("data:")} == {page_file.as_uri()}
    assert said == []


def _light(color):
    return sum(int(part) for part in color.removeprefix("rgb(").removesuffix(")").split(",")) > 384
