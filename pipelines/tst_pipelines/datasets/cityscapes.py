"""Cityscapes (Cordts et al., CVPR 2016), laid out as published.

The images and the annotations (leftImg8bit_trainvaltest.zip, gtFine_trainvaltest.zip) are given to those who register
at www.cityscapes-dataset.com, under a licence of its own that allows no commercial use; nothing of them is here.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from tst_pipelines.datasets.pairs import PairDataset, image_pairs

logger = logging.getLogger(__name__)

LABEL_IDS = {
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
"""The 19 classes that are evaluated, by their numbers in *_labelIds.png (cityscapesScripts, labels.py).

Their positions here are the numbers in *_labelTrainIds.png. All others are ignored, the licence plate's -1 too, written
as 255.
"""
_PUBLISHED = {"train": 2975, "val": 500}  # images


def cityscapes(
    root: str | Path,
    split: Literal["train", "val"],
    labels: Literal["labelIds", "labelTrainIds"] = "labelIds",
    complete: bool = True,
) -> PairDataset:
    """The pairs of a split: `leftImg8bit/SPLIT/CITY/*_leftImg8bit.png` and `gtFine/SPLIT/CITY/*_gtFine_LABELS.png`.

    Args:
        root: the folder that holds `leftImg8bit` and `gtFine`.
        split: train or val; the test split's labels are not published.
        labels: which files: as published (labelIds), or those that cityscapesScripts' createTrainIdLabelImgs makes of
            them (labelTrainIds). Both give the same labels.
        complete: see `image_pairs`.

    Returns:
        The data set, of 19 classes. A number of pairs other than the published one is warned of.

    Raises:
        DataError: see `image_pairs`.
    """
    ids = {number: position for position, number in enumerate(LABEL_IDS.values())} if labels == "labelIds" else None
    images, label_maps = (Path(root) / folder / split for folder in ("leftImg8bit", "gtFine"))
    pairs = image_pairs(
        images,
        label_maps,
        tuple(LABEL_IDS),
        ids=ids,
        image_suffix="_leftImg8bit",
        label_suffix=f"_gtFine_{labels}",
        complete=complete,
    )
    if len(pairs) != _PUBLISHED[split]:
        logger.warning("%s holds %d of Cityscapes' %d pairs", images, len(pairs), _PUBLISHED[split])
    return pairs
