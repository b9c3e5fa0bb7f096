"""Evaluation preprocessing: the crop and interpolation of published networks, by their metadata."""

from typing import Any, Literal, NamedTuple

import torchvision

from tst_fast.config.schema import Config, replace
from tst_fast.errors import UserError
from tst_fast.models.build import find_model

Interpolation = Literal["bilinear", "bicubic"]


class Preparation(NamedTuple):
    """How images are resized and cropped before a classifier is evaluated on them.

    Attributes:
        size: side of the crop in pixels.
        resize: length of the shorter side before the centre is cropped; None: resized to the square itself.
        interpolation: of the resizing.
    """

    size: int
    resize: int | None
    interpolation: Interpolation


def published_preparation(name: str, size: int | None = None) -> Preparation | None:
    """How torchvision or timm evaluate a network, by the metadata of its weights.

    Two ways of timm's are not followed: networks that squash an image and then crop it (dm_nfnet, three of CLIP's ViT)
    see all of it, squashed; those that add borders (deepseek_vit), the centre without borders.

    Args:
        name: as for `build_model`.
        size: side of the crop in pixels, if another: the same share of the image is then cropped.

    Returns:
        None where they say nothing, or something else than a bilinear or bicubic resizing.
    """
    try:
        source, plain = find_model(name)
    except UserError:  # one of a task's own, of which nothing is published
        return None
    if source == "torchvision":
        return _of_torchvision(torchvision.models.get_model_weights(plain)["DEFAULT"].transforms(), size)
    if source == "timm":
        import timm  # only where it is needed: it takes seconds to import

        published = timm.get_pretrained_cfg(plain)
        return None if published is None else _of_timm(published, size)
    return None


def preparation(config: Config) -> Preparation:
    """What the configuration says, else what the published weights do that it begins from, the teacher's first."""
    data = config.data
    roles = ("teacher", "student") if config.distillation.teacher else ("student",)
    chosen = [getattr(config, role) for role in roles]
    known = (published_preparation(one.name, data.image_size) for one in chosen if one.pretrained)
    published = next(filter(None, known), Preparation(data.image_size, None, "bilinear"))
    resize = published.resize if data.resize is None else data.resize
    return Preparation(data.image_size, resize, data.interpolation or published.interpolation)


def with_preparation(config: Config) -> Config:
    """The same, which says how images are prepared: so they still are where it begins from other weights, or none."""
    _, resize, interpolation = preparation(config)
    return replace(config, data__resize=resize, data__interpolation=interpolation)


def _of_torchvision(published: Any, size: int | None) -> Preparation | None:
    (crop,), (resize,) = published.crop_size, published.resize_size
    side: int = size or crop
    return _prepared(side, side * resize // crop, published.interpolation.value)


def _of_timm(published: Any, size: int | None) -> Preparation | None:
    side: int = size or published.input_size[-1]
    squashed = published.crop_mode == "squash"
    return _prepared(side, None if squashed else int(side / published.crop_pct), published.interpolation)


def _prepared(size: int, resize: int | None, interpolation: str) -> Preparation | None:
    match interpolation:
        case "bilinear" | "bicubic":
            return Preparation(size, resize, interpolation)
        case _:
            return None
