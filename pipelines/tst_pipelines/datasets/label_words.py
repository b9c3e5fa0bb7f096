"""Labels as text, in lists and in shards: the number of a class or its name."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from tst_pipelines.datasets.files import shortened
from tst_pipelines.protocol import DataError

_HIGHEST = 999_999  # larger numbers are not classes, but perhaps dates or counts


class LabelWords:
    """The labels of many images, each different word kept once.

    Attributes:
        different: the words, in the order of their first occurrence.
        places: where each of them was first seen, for messages.
        codes: of each image, the position of its word in `different`.
    """

    def __init__(self) -> None:
        self.different: list[str] = []
        self.places: list[str] = []
        self.codes = array("q")
        self._known: dict[str, int] = {}

    def add(self, word: str, place: str) -> None:
        """The label of one more image."""
        code = self._known.setdefault(word, len(self.different))
        if code == len(self.different):
            self.different.append(word)
            self.places.append(place)
        self.codes.append(code)

    def extend(self, different: Sequence[str], codes: np.ndarray, place: str) -> None:
        """The labels of many more images: `codes`, int64, are positions in `different`."""
        first = len(self.codes)
        for word in different:
            self.add(word, place)
        known = np.array(self.codes[first:], np.int64)
        del self.codes[first:]
        self.codes.frombytes(known[codes].tobytes())

    def number(self, classes: Sequence[str] | None) -> tuple[np.ndarray, tuple[str, ...]]:
        """Labels as positions in the classes.

        Args:
            classes: the training split's. Without, they are the numbers from 0 to the highest if all words are numbers,
                or the words, sorted, if none is. With them, a word is a class's name, or else its number.

        Returns:
            int64 [images], and the classes.

        Raises:
            DataError: a word that is no class, or a number that is not whole, with where it stands; without `classes`,
                numbers among names.
        """
        if classes is None:
            classes = self._own_classes()
        known = {name: position for position, name in enumerate(classes)}
        positions = [known.get(word, _number(word)) for word in self.different]
        for word, place, position in zip(self.different, self.places, positions, strict=True):
            if not 0 <= position < len(classes):
                raise DataError(
                    f"{place}: the label {word!r} is neither a number below {len(classes)} nor one of the training "
                    f"split's classes ({shortened(classes)})"
                )
        return np.array(positions, np.int64)[np.frombuffer(self.codes, np.int64)], tuple(classes)

    def _own_classes(self) -> list[str]:
        for word, place in zip(self.different, self.places, strict=True):
            if _is_odd_number(word):
                raise DataError(f"{place}: a label must be a whole number from 0, or a name, got {word!r}")
        numbers = [_number(word) for word in self.different]
        if max(numbers) < 0:
            return sorted(self.different)
        if min(numbers) < 0:
            name, number = (numbers.index(min(numbers)), numbers.index(max(numbers)))
            raise DataError(
                f"labels are numbers ({self.different[number]!r} at {self.places[number]}) and names "
                f"({self.different[name]!r} at {self.places[name]}): give one or the other"
            )
        highest = int(np.argmax(numbers))
        if numbers[highest] > _HIGHEST:
            raise DataError(f"{self.places[highest]}: class numbers must be 0 to {_HIGHEST}, got {numbers[highest]}")
        return [str(number) for number in range(numbers[highest] + 1)]


def _is_odd_number(word: str) -> bool:
    """Whether it is a number, but not one that a class may have: -1, 1.0, 1e3, nan."""
    try:
        float(word)
    except ValueError:
        return False
    return _number(word) < 0


def _number(word: str) -> int:
    """The class number that a word is, or -1."""
    return int(word) if word.isascii() and word.isdigit() else -1
