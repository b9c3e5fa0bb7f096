"""Images with label maps in folders, as `--data.name pairs` reads them."""

import numpy as np
from PIL import Image

CLASSES = ("ground", "disc", "bar")


def write_pairs(root, train=8, test=4, size=(32, 48)):
    """Discs and bars of random colours and places on grey noise; a margin of each label map is ignored."""
    random = np.random.default_rng(0)
    y, x = np.indices(size)
    for split, count in (("train", train), ("test", test)):
        for folder in ("images", "labels"):
            (root / split / folder).mkdir(parents=True)
        for number in range(count):
            labels = np.zeros(size, np.uint8)
            row, column = random.integers(8, [side - 8 for side in size])
            labels[(y - row) ** 2 + (x - column) ** 2 < 49] = 1
            labels[:, (first := random.integers(2, size[1] - 8)) : first + 6] = 2
            colours = np.concatenate([[[100, 100, 100]], random.integers(0, 256, (2, 3))])
            image = (colours[labels] + random.integers(-20, 21, (*size, 3))).clip(0, 255).astype(np.uint8)
            labels[: random.integers(1, 20)] = 255
            Image.fromarray(image).save(root / split / "images" / f"{number}.png")
            Image.fromarray(labels).save(root / split / "labels" / f"{number}.png")
    return root


def pairs_flags(root):
    """What a command line says of them."""
    return ["--data.name=pairs", f"--data.root={root}", f"--data.class_names=[{', '.join(CLASSES)}]"]
