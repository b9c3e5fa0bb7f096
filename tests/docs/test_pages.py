"""README is short, links lead somewhere, and the API page has every public name."""

import re
import subprocess
import sys

import pytest

import tst_fast
import tst_kernels
import tst_pipelines
from tests.docs.pages import PAGES, ROOT


def test_readme_is_one_screen_or_two():
    assert (ROOT / "README.md").read_text(encoding="utf-8").count("\n") < 150


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page):
    for target, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)#?([^)\s]*)\)", page.read_text(encoding="utf-8")):
        file = page.parent / target if target else page
        assert file.is_file() or (page.parent == ROOT and file.exists()), target  # the site has no folders
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, anchor


def test_the_api_page_has_every_public_name():
    text = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    for package in (tst_fast, tst_kernels, tst_pipelines):
        assert [name for name in package.__all__ if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.long
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("myst_parser")
    build = [sys.executable, "-m", "sphinx", "-q", "--fail-on-warning", "-b", "html", "docs", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "operations_per_image" in (tmp_path / "settings.html").read_text(encoding="utf-8")
