"""The page in Chromium: every figure drawn, nothing in the console, the slider, two widths, dark and light."""

import shutil

import pytest

from tests.tst_fast.report.html.folders import MadeUp, compare
from tst_fast.report.html.page import write_report

selenium = pytest.importorskip("selenium")
pytestmark = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="chromium and chromedriver are not installed; `make report-test` installs them",
)

# Of all text in figures and out of them: how far it stands out of what is behind it, as WCAG 2.2 defines contrast.
CONTRASTS = """
const parsed = text => text.match(/[\\d.]+/g).map(Number);
const luminance = rgb => rgb.slice(0, 3).map(v => v / 255)
  .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = element => {
  for (let one = element; one; one = one.parentElement) {
    const colour = parsed(getComputedStyle(one).backgroundColor);
    if (one.namespaceURI.endsWith("xhtml") && (colour.length === 3 || colour[3] > 0.99)) return colour;
  }
};
const texts = ".xtick text, .x2tick text, .ytick text, .y2tick text, .xtitle, .x2title, .ytitle, .y2title, .legendtext";
return [...document.querySelectorAll(`${texts}, p, td, th, h2, figcaption, summary, label`)]
  .filter(element => element.textContent.trim() && element.getBoundingClientRect().width)
  .map(element => {
    const style = getComputedStyle(element);
    const [a, b] = [luminance(parsed(element.ownerSVGElement ? style.fill : style.color)), luminance(behind(element))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  });
"""
UNDRAWN = """
return [...document.querySelectorAll(".plotly-graph-div")]
  .filter(div => !div.querySelector(".mlayer :is(path, image)")).map(div => div.parentElement.textContent);
"""
# Text of a figure that leaves it, to a pixel.
OUTSIDE = """
return [...document.querySelectorAll(".plotly-graph-div")].flatMap(div => {
  const frame = div.getBoundingClientRect();
  return [...div.querySelectorAll(".main-svg text")].filter(text => {
    const box = text.getBoundingClientRect();
    return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1);
  }).map(text => text.textContent);
});
"""


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def reports(tmp_path_factory, whole_run):
    """Pages of a real run, of several runs that were made up, and of a comparison."""
    folder = tmp_path_factory.mktemp("reports")
    several = [MadeUp(shift=i / 10).write(folder / f"a run with a name that is rather long {i}") for i in range(3)]
    scores = {"KD, untrained policy": [0.6, 0.7], "TST": [0.65, 0.72]}
    compared = compare(folder / "compared", scores, [("TST", "KD, untrained policy")])
    folders = {"real": [whole_run.folder], "several": several, "compared": [compared]}
    files = {}
    for name, given in folders.items():
        files[name] = folder / f"{name}.html"
        write_report(given, files[name])
    return files


def _open(browser, file, width=1280, theme="light"):
    emulated = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", emulated)
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(file.as_uri())


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("name", ["real", "several", "compared"])
def test_every_figure_is_drawn_within_the_page(browser, reports, name, width):
    _open(browser, reports[name], width)
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.querySelectorAll('.plotly-graph-div').length") > 10
    assert browser.execute_script(UNDRAWN) == []
    assert browser.execute_script(OUTSIDE) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script("return [...document.images].every(image => image.naturalWidth > 0)")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_in_both_themes(browser, reports, theme):
    _open(browser, reports["several"], theme=theme)
    background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}[theme]
    contrasts = browser.execute_script(CONTRASTS)
    assert len(contrasts) > 100
    assert min(contrasts) >= 4.5


def test_the_slider_moves_the_pictures(browser, reports):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    _open(browser, reports["several"])

    def shown():
        cards = browser.find_elements(By.CSS_SELECTOR, ".searches:first-of-type .cards")
        title = browser.find_element(By.CSS_SELECTOR, ".searches output").text
        return title, [
            card.find_element(By.TAG_NAME, "img").get_attribute("src") for card in cards if card.is_displayed()
        ]

    slider = browser.find_element(By.CSS_SELECTOR, ".searches input")
    last, (picture, *_) = shown()
    slider.send_keys(Keys.ARROW_LEFT)
    first, (other, *_) = shown()
    assert (first, last) == tuple(f"search {number}, before the student's epoch {number}" for number in (1, 2))
    assert picture != other
    slider.send_keys(Keys.ARROW_RIGHT)
    assert shown()[1][0] == picture
