"""One damaged file among many is named, whatever the damage: it never ends the process, as DALI's own decoder does."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

GOOD = 180  # files beside the damaged one; DALI's `decoders.image` fails in batches of 32 and more

# Reads the data set of each folder below the first argument, and says what came of it, a line of JSON each.
READ = """
import json, sys
from pathlib import Path
from tst_pipelines import *

build = {
    "padded": lambda images: DaliLoader(images, PadAndCrop(32), 64, Share(training=True)),
    "whole": lambda images: DaliLoader(images, ResizeCenterCrop(32), 64, Share(training=False)),
    "cached": lambda images: CachedLoader(images, PadAndCrop(32), 64, Share(training=True)),
}[sys.argv[2]]
for root in sorted(Path(sys.argv[1]).iterdir()):
    try:
        with build(image_folder(root)) as loader:
            # Training leaves a remainder out, another in each epoch.
            message = f"{sum(len(batch) for _ in range(3) for batch in loader)} images"
    except DataError as error:
        message = str(error)
    print(json.dumps([root.name, message]), flush=True)
"""


FAULTS = {"empty": "empty file", "jpeg, a frame of 65535 x 65535": "more than 178,956,970 pixels"}


def encoded(photo: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    photo.save(buffer, kind, **options)
    return buffer.getvalue()


def damaged(photo: Image.Image) -> dict[str, bytes]:
    """Twelve kinds of damage."""
    jpeg, png, progressive = encoded(photo, "JPEG"), encoded(photo, "PNG"), encoded(photo, "JPEG", progressive=True)
    frame, tables = jpeg.index(b"\xff\xc0") + 5, jpeg.index(b"\xff\xc4") + 5
    return {
        "jpeg, 4 bytes": jpeg[:4],
        "jpeg, its first half": jpeg[: len(jpeg) // 2],
        "jpeg, no frame": jpeg[:2] + jpeg[20:160],
        "jpeg, a frame of no size": jpeg[:frame] + bytes(4) + jpeg[frame + 4 :],
        "jpeg, a frame of 65535 x 65535": jpeg[:frame] + b"\xff" * 4 + jpeg[frame + 4 :],
        "jpeg, Huffman tables": jpeg[:tables] + b"\xff" * 40 + jpeg[tables + 40 :],
        "jpeg, progressive, 90 %": progressive[: len(progressive) * 9 // 10],
        "png, its header": png[:30],
        "png, a checksum": png[:60] + bytes([png[60] ^ 255]) + png[61:],
        "text": b"<html>404</html>\n" * 20,
        "noise": np.random.default_rng(0).bytes(3000),
        "empty": b"",
    }


@pytest.fixture(scope="module")
def folders(photos: list[Image.Image], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set for each kind of damage: many good images, all the same, and a bad one."""
    root = tmp_path_factory.mktemp("damaged")
    photo = photos[0].resize((40, 40))
    good = encoded(photo, "JPEG")
    (root / "good.jpg").write_bytes(good)
    for kind, content in damaged(photo).items():
        folder = root / "sets" / kind / "class"
        folder.mkdir(parents=True)
        for index in range(GOOD):
            (folder / f"{index:03d}.jpg").symlink_to(root / "good.jpg")
        (folder / "100-bad.jpg").write_bytes(content)
    return root / "sets"


@pytest.mark.parametrize("way", ["padded", "whole", "cached"])
def test_a_damaged_file_among_many_is_named(way: str, folders: Path) -> None:
    command = [sys.executable, "-c", READ, str(folders), way]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    said = dict(json.loads(line) for line in process.stdout.splitlines())
    assert process.returncode == 0, f"ended by {process.returncode} after {list(said)}: {process.stderr[-500:]}"
    assert sorted(said) == sorted(path.name for path in folders.iterdir())
    for kind, message in said.items():
        fault = FAULTS.get(kind, "(not an image in a format that DALI decodes|truncated or damaged)")
        pattern = f"cannot be read.*\\n  .*{kind}/class/100-bad.jpg: {fault}"
        assert re.search(pattern, message), f"{kind}: {message}"
