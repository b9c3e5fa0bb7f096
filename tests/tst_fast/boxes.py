"""Images with boxes in COCO's format, as `--data.name coco` reads them."""

import json

import numpy as np
from PIL import Image

CLASSES = ("disc", "bar")


def write_coco(root, train=8, test=4, sizes=((64, 96), (72, 60))):
    """Bright discs and bars on grey noise; one image of each split has no object, one a crowd."""
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        (root / split).mkdir(parents=True)
        images, objects = [], []
        for number in range(count):
            height, width = sizes[number % len(sizes)]
            image = random.integers(40, 90, (height, width, 3)).astype(np.uint8)
            for kind in [] if number == 1 else random.permutation(2).tolist():
                side = np.array([22, 22]) if kind == 0 else np.array([10, 30])
                top, left = (random.integers(0, room) for room in np.array([height, width]) - side)
                y, x = np.indices((height, width)) + 0.5
                centre = np.array([top, left]) + side / 2
                inside = (np.abs(y - centre[0]) < side[0] / 2) & (np.abs(x - centre[1]) < side[1] / 2)
                if kind == 0:
                    inside &= (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < 121
                image[inside] = random.integers(150, 256, 3)
                about = {"id": len(objects) + 1, "image_id": 10 + number, "category_id": (3, 8)[kind]}
                box = [int(left), int(top), int(side[1]), int(side[0])]
                objects.append(about | {"bbox": box, "area": float(inside.sum()), "iscrowd": int(number == 2)})
            Image.fromarray(image).save(root / split / f"{number}.png")
            images.append({"id": 10 + number, "file_name": f"{number}.png", "height": height, "width": width})
        categories = [{"id": number, "name": name} for number, name in zip((3, 8), CLASSES, strict=True)]
        content = {"images": images, "annotations": objects, "categories": categories}
        (root / f"{split}.json").write_text(json.dumps(content))
    return root


def coco_flags(root):
    """What a command line says of them."""
    names = "--data.train=train", "--data.train_labels=train.json", "--data.test=test", "--data.test_labels=test.json"
    return ["--data.name=coco", f"--data.root={root}", *names]
