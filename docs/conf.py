"""Sphinx configuration of the documentation, which `make docs` builds."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "kernels"), str(ROOT / "pipelines")]

from sphinx.application import Sphinx  # noqa: E402

from tst_fast import __version__  # noqa: E402

project, author, copyright = "TST-Fast", "The TST-Fast developers", "The TST-Fast developers"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

html_theme = "furo"
html_title = f"TST-Fast {version}"
myst_heading_anchors = 3

default_role = "literal"  # docstrings mark code by single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False

# Sites that reject or limit automated requests.
linkcheck_ignore = [r"https://doi\.org/.*", r"https://www\.cityscapes-dataset\.com.*"]


def setup(app: Sphinx) -> None:
    """Make links to Markdown files outside docs/ lead to the files, which are not pages of the site."""

    def to_files(app: Sphinx, page: str, source: list[str]) -> None:
        source[0] = re.sub(r"\]\((\.\./[^)#]+\.md)\)", r"](path:\1)", source[0])

    app.connect("source-read", to_files)
