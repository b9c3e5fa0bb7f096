"""A page of the report taken apart: its text, tables, addresses and figures."""

import base64
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from tst_fast.report.html.page import write_report


class Page(HTMLParser):
    """What is on a page.

    Attributes:
        text: all that is read, but for scripts and styles.
        tags: name and attributes of each.
        rows: texts of the cells of each row of each table.
        pictures: the addresses of all.
        figures: by title, Plotly's data and layout.
    """

    def __init__(self, content: str) -> None:
        super().__init__()
        self.text, self.tags, self.rows, self.pictures, self.figures = "", [], [], [], {}
        self._inside: list[str] = []
        self._title = ""
        self.feed(content)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style", "figcaption", "td", "th", "span"):
            self._inside.append(tag)
        if tag == "figcaption":
            self._title = ""
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "img":
            self.pictures.append(dict(attrs)["src"])

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        where = self._inside[-1] if self._inside else ""
        if where == "script":
            self._figure(data)
        elif where != "style":
            self.text += data
        if where == "figcaption":
            self._title += data
        if where in ("td", "th"):
            self.rows[-1][-1] += data

    def _figure(self, script: str) -> None:
        start = script.find("Plotly.newPlot(")
        if start < 0 or len(script) > 1_000_000:  # Plotly itself
            return
        decoder, rest = json.JSONDecoder(), script[start + len("Plotly.newPlot(") :].lstrip()
        values = []
        for _ in range(3):
            value, end = decoder.raw_decode(rest)
            values.append(value)
            rest = rest[end:].lstrip().lstrip(",").lstrip()
        self.figures[self._title] = (values[1], values[2])

    def numbers(self, title: str, axis: str = "y") -> list[list[Any]]:
        """What each curve of a figure draws."""
        return [_plain(trace[axis]) for trace in self.figures[title][0]]

    def row(self, first: str) -> list[str]:
        """The row of a table that begins with this text."""
        return next(row for row in self.rows if row and row[0] == first)


def _plain(values: Any) -> Any:
    """Plotly's arrays in base64 as lists."""
    if not isinstance(values, dict):
        return values
    found = np.frombuffer(base64.b64decode(values["bdata"]), dtype=np.dtype(values["dtype"]))
    shape = [int(size) for size in str(values["shape"]).split(",")] if "shape" in values else [-1]
    return found.reshape(shape).tolist()


def page_of(*folders: Path) -> Page:
    """The report on folders, taken apart."""
    file = folders[0].parent / f"{folders[0].name}-report.html"
    write_report(folders, file)
    return Page(file.read_text(encoding="utf-8"))
