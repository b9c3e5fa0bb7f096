"""README and the pages of docs/, and the code that they show."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    """What stands in a page's fences of one language; "" is of commands."""
    return [code for name, code in FENCE.findall(page.read_text(encoding="utf-8")) if name == language]


def commands(page: Path) -> Iterator[str]:
    """Each command, on one line, without its comment; the lines of a script (#!) are one command."""
    for block in blocks(page, ""):
        if block.startswith("#!"):
            yield block
            continue
        for line in block.replace("\\\n", " ").splitlines():
            command = " ".join(re.sub(r"(^|\s)#.*", "", line).split())
            if command and re.match(r"[\w$.]", command):
                yield command
