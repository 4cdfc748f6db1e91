"""The page in headless Chromium; skipped where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from omasgan.report.results.write import write_report
from tests.browser import opened
from tests.report.store import fill
from tests.results import add_run

pytestmark = pytest.mark.slow
PHONE = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
DESKTOP = PHONE | {"width": 1200, "mobile": False}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = fill(tmp_path_factory.mktemp("out"))
    add_run(store, "gmm", {"n": "<b>"}, fold=1)
    searched = {"latent_dim": 51, "lr": 0.0005857, "scale": 0.7541, "train_steps": 2000}
    add_run(store, "vae", searched, fold=1)
    for number in range(4):
        params = {"k": number + 2, "a-long-name-of-a-parameter": "x" * 60}
        add_run(store, "isolation-forest", params, shift=number / 4)
    return Path(str(write_report(store, page_only=True).page))


@pytest.fixture(scope="module")
def browser(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    profile = tmp_path_factory.mktemp("profile")
    with opened(profile, capabilities={"goog:loggingPrefs": {"browser": "ALL"}}) as driver:
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
        driver.get(page.as_uri())
        yield driver


def test_nothing_is_wider_than_a_phone(browser: Any) -> None:
    browser.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 400
    wide = "return [...document.querySelectorAll('.wide')].some(e => e.scrollWidth > 400)"
    assert browser.execute_script(wide), "a wide table scrolls in its box"


def test_on_a_desktop_every_table_fits(browser: Any) -> None:
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", DESKTOP)
    wide = (
        "return [...document.querySelectorAll('.wide')].filter(e => e.scrollWidth > e.clientWidth)"
    )
    try:
        boxes = browser.execute_script(f"{wide}.map(e => e.getAttribute('aria-labelledby'))")
    finally:
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    assert boxes == []


def test_a_heading_sorts_by_keyboard(browser: Any) -> None:
    from selenium.webdriver import Keys

    box = browser.find_element("css selector", "[aria-labelledby=toy-loo-v1-auroc-by-fold]")
    heading = box.find_elements("css selector", "th")[1]
    button = heading.find_element("css selector", "button")

    def column() -> list[str]:
        return [cell.text for cell in box.find_elements("css selector", "td:nth-child(2)")]

    before = column()
    for key, order in ((Keys.ENTER, "descending"), (Keys.SPACE, "ascending")):
        button.send_keys(key)
        assert heading.get_attribute("aria-sort") == order
        assert column() == sorted(before, reverse=order == "descending")
    assert column() != before
    name = box.find_elements("css selector", "th")[0]
    name.find_element("css selector", "button").send_keys(Keys.ENTER)
    assert heading.get_attribute("aria-sort") is None
    names = [cell.text for cell in box.find_elements("css selector", "td:nth-child(1)")]
    assert names == sorted(names)


def test_rows_without_a_value_stay_below(browser: Any) -> None:
    box = browser.find_element("css selector", "[aria-labelledby=toy-loo-v1-auroc-by-fold]")
    button = box.find_elements("css selector", "th button")[3]
    for _ in range(2):
        button.click()
        cells = [cell.text for cell in box.find_elements("css selector", "td:nth-child(4)")]
        assert cells[-1] == "-" and cells[0] != "-"


def test_a_series_is_hidden_and_shown_by_its_button(browser: Any) -> None:
    from selenium.webdriver import Keys

    figures = browser.find_elements("css selector", "figure")
    (figure,) = (f for f in figures if f.find_elements("css selector", '[data-series="pruned"]'))
    (button,) = (b for b in figure.find_elements("css selector", "button") if b.text == "pruned")
    points = figure.find_element("css selector", '[data-series="pruned"]')
    for pressed, shown in (("false", "none"), ("true", "inline")):
        button.send_keys(Keys.ENTER)
        assert button.get_attribute("aria-pressed") == pressed
        assert points.value_of_css_property("display") == shown


def test_a_touched_point_shows_its_tip(browser: Any) -> None:
    figures = browser.find_elements("css selector", "figure")
    (figure,) = (f for f in figures if f.find_elements("css selector", '[data-series="pruned"]'))
    point = figure.find_element("css selector", '[data-series="ok"] use')
    click = "arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    browser.execute_script(click, point)
    tip = figure.find_element("css selector", "output").text
    assert tip.startswith("trial 0: objective 0.600")


def test_every_picture_has_a_text_and_the_browser_reports_nothing(browser: Any) -> None:
    nameless = "return [...document.querySelectorAll('svg.plot, img')].filter(e => "
    nameless += "!(e.getAttribute('aria-label') || e.alt)).length"
    assert browser.execute_script(nameless) == 0
    requests = "return performance.getEntriesByType('resource').length"
    assert browser.execute_script(requests) == 0
    assert browser.get_log("browser") == []
