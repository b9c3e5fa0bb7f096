"""Results for people: Markdown beside every JSON file in results/, charts of steps, and the blocks of pages.

    python -m benchmarks.report

A block begins with `<!-- benchmarks: NAME -->`, NAME one of `BLOCKS`, and ends with `<!-- end -->`. What stands between
is written by this command alone. The pages are README and those in docs/.
"""

import json
import re
from pathlib import Path

from benchmarks import charts
from benchmarks.blocks import BLOCKS, LINK
from benchmarks.markdown import markdown
from benchmarks.results import FOLDER

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(<!-- benchmarks: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> list[Path]:
    """Those that may hold blocks."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def fill(text: str, to_root: str = "") -> str:
    """A page with each block written anew.

    Args:
        text: of the page.
        to_root: what links to files of the repository begin with, such as ../

    Raises:
        ValueError: a block of an unknown name.
    """

    def written(match: re.Match[str]) -> str:
        if match[2] not in BLOCKS:
            raise ValueError(f"there is no block {match[2]!r}; blocks are {', '.join(BLOCKS)}")
        block = BLOCKS[match[2]]().replace(f"]({LINK}", f"]({to_root}{LINK}")
        return f"{match[1]}{block}\n{match[3]}"

    return BLOCK.sub(written, text)


def fill_page(page: Path) -> str:
    """A page of `pages` as it should be."""
    return fill(page.read_text(encoding="utf-8"), "" if page.parent == ROOT else "../")


def main() -> None:
    """Write the Markdown of every JSON file, charts of those that hold steps, and the blocks of pages."""
    for file in sorted(FOLDER.glob("*.json")):
        result = json.loads(file.read_text(encoding="utf-8"))
        file.with_suffix(".md").write_text(markdown(result), encoding="utf-8")
        charts.draw_steps(result.get("rows", []), file.with_suffix(".png"))
    for page in pages():
        page.write_text(fill_page(page), encoding="utf-8")


if __name__ == "__main__":
    main()
