"""Detectors by name: on a pyramid of choice, or as torchvision publishes them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torchvision
from torch import nn
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from tst_fast.config.imports import is_import_path
from tst_fast.errors import UserError, nearest
from tst_fast.models.build import own_model
from tst_fast.models.detection.anchors import UnroundedAnchors
from tst_fast.models.detection.dense import DenseDetector
from tst_fast.models.detection.published import UNUSED, of_classes, with_number_of_classes, without_unused_classes
from tst_fast.models.detection.pyramid import LevelsOfBackbone, LevelsOfPyramid, pyramid_on, small_pyramid
from tst_fast.models.detection.two_stage import TwoStageDetector
from tst_fast.models.published import out_of_reach, require_plain, with_new_head

DENSE_STRIDES = (8, 16, 32, 64, 128)
TWO_STAGE_STRIDES = (4, 8, 16, 32, 64)
SCORE = 0.05
"""Detections below are dropped; torchvision's own threshold of FCOS, 0.2, costs average precision."""
PUBLISHED = tuple(
    name
    for name in torchvision.models.list_models(torchvision.models.detection)
    if name.startswith(("fasterrcnn", "fcos", "retinanet"))
)


def build_detector(
    name: str, classes: Sequence[str], arguments: dict[str, Any], pretrained: bool = False, new_head: bool = False
) -> DenseDetector | TwoStageDetector:
    """A detector with fresh weights from torch's global generator, or with published ones.

    Args:
        name: fcos, retinanet or faster_rcnn, on the pyramid that `arguments` name; or one of torchvision's; or
            my.module:make of the user's own, which gives one of torchvision's classes.
        classes: names of the classes.
        arguments: of `fcos`, `retinanet` or `faster_rcnn`, or of torchvision's constructor.
        pretrained: with torchvision's weights for MS-COCO, downloaded on first use.
        new_head: draw the last layers of such a network where the classes are not those of MS-COCO.

    Raises:
        UserError: an unknown name (with the nearest known one), arguments that it does not take, or no published
            weights for it, for these classes, or within reach.
    """
    if is_import_path(name):
        return _own(name, len(classes), arguments, pretrained)
    plain = name.removeprefix("torchvision/")
    if plain in PUBLISHED:
        return _published(plain, classes, arguments, new_head) if pretrained else _fresh(plain, classes, arguments)
    if plain not in OWN:
        known = [*OWN, *PUBLISHED]
        raise UserError(f"there is no detector {name!r}{nearest(plain, known)} Known are {', '.join(known)}.")
    if pretrained:
        raise UserError(f"there are no pretrained weights of {name}: give a checkpoint, or take one of torchvision's")
    try:
        return OWN[plain](len(classes), **arguments)
    except TypeError as error:
        raise UserError(f"detector {name} does not take the arguments {arguments}: {error}") from None


def fcos(classes: int, backbone: str = "pyramid", convs: int = 4, **arguments: Any) -> DenseDetector:
    """FCOS (Tian et al., 2019).

    Args:
        classes: their number.
        backbone: pyramid (`small_pyramid`), or see `pyramid_on`.
        convs: convolutions in each head.
        arguments: of the backbone.
    """
    base, strides = _dense_pyramid(backbone, arguments)
    width = _width_for_norms(base)
    anchors = AnchorGenerator(tuple((stride,) for stride in strides), ((1.0,),) * len(strides))
    head = FCOSHead(width, 1, classes, num_convs=convs)
    return DenseDetector(FCOS(base, classes, anchor_generator=anchors, head=head, score_thresh=SCORE))


def retinanet(
    classes: int, backbone: str = "pyramid", norm: bool = True, mmdetection: bool = False, **arguments: Any
) -> DenseDetector:
    """RetinaNet (Lin et al., 2017), nine anchors at a cell.

    Args:
        classes: their number.
        backbone: pyramid (`small_pyramid`), or see `pyramid_on`.
        norm: whether heads have group norms, as torchvision's second version.
        mmdetection: as its weights want it: anchors that are not rounded to pixels, and the coarser levels of
            `LevelsOfBackbone`.
        arguments: of the backbone.
    """
    base, strides = _dense_pyramid(backbone, arguments, LevelsOfBackbone if mmdetection else LevelsOfPyramid)
    exact = [[4 * stride * 2 ** (third / 3) for third in range(3)] for stride in strides]
    make = UnroundedAnchors if mmdetection else AnchorGenerator
    sizes = tuple(tuple(size if mmdetection else int(size) for size in level) for level in exact)
    anchors = make(sizes, ((0.5, 1.0, 2.0),) * len(strides))
    layer, width = (partial(nn.GroupNorm, 32), _width_for_norms(base)) if norm else (None, _width(base))
    head = RetinaNetHead(width, 9, classes, norm_layer=layer)
    head.regression_head._loss_type = "giou" if norm else "l1"
    return DenseDetector(RetinaNet(base, classes, anchor_generator=anchors, head=head, score_thresh=SCORE))


def faster_rcnn(classes: int, backbone: str = "pyramid", hidden: int = 1024, **arguments: Any) -> TwoStageDetector:
    """Faster R-CNN (Ren et al., 2015) with a pyramid (Lin et al., 2017).

    Args:
        classes: their number, without background.
        backbone: pyramid (`small_pyramid`), or see `pyramid_on`.
        hidden: units of the two layers that look at a region.
        arguments: of the backbone.
    """
    if backbone == "pyramid":
        base = small_pyramid(**arguments)
        strides, scale, names = base.strides, 4, ["0", "1"]
    else:
        base = _two_stage_pyramid(backbone, arguments)
        strides, scale, names = TWO_STAGE_STRIDES, 8, ["0", "1", "2", "3"]
    sizes = tuple((scale * stride,) for stride in strides)
    anchors = AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(strides))
    pool = MultiScaleRoIAlign(names, output_size=7, sampling_ratio=2)
    heads = TwoMLPHead(_width(base) * 49, hidden), FastRCNNPredictor(hidden, classes + 1)
    model = FasterRCNN(base, rpn_anchor_generator=anchors, box_roi_pool=pool, box_head=heads[0], box_predictor=heads[1])
    return TwoStageDetector(model)


OWN: dict[str, Callable[..., DenseDetector | TwoStageDetector]] = {
    "fcos": fcos,
    "retinanet": retinanet,
    "faster_rcnn": faster_rcnn,
}


def _dense_pyramid(
    backbone: str, arguments: dict[str, Any], coarser: type[LastLevelP6P7] = LevelsOfPyramid
) -> tuple[nn.Module, tuple[int, ...]]:
    """The backbone of a dense detector, and the strides of its levels; the two coarsest are made of the last one."""
    if backbone == "pyramid":
        made = small_pyramid(**arguments)
        return made, made.strides
    return pyramid_on(backbone, coarser, (3, 4, 5), **arguments), DENSE_STRIDES


def _two_stage_pyramid(backbone: str, arguments: dict[str, Any]) -> nn.Module:
    return pyramid_on(backbone, lambda channels, width: LastLevelMaxPool(), (2, 3, 4, 5), **arguments)


def _width_for_norms(base: nn.Module) -> int:
    width = _width(base)
    if width % 32:
        raise UserError(f"the pyramid's width must be a multiple of 32 for the group norms of the heads, got {width}")
    return width


def _width(base: nn.Module) -> int:
    width = base.out_channels
    assert isinstance(width, int)
    return width


def _own(name: str, classes: int, arguments: dict[str, Any], pretrained: bool) -> DenseDetector | TwoStageDetector:
    network = own_model(name, classes, arguments, pretrained)
    if isinstance(network, FasterRCNN | FCOS | RetinaNet):
        network = _adapted(network)
    if not isinstance(network, DenseDetector | TwoStageDetector):
        raise UserError(
            f"model {name} must be torchvision's FCOS, RetinaNet or FasterRCNN, got {type(network).__name__}"
        )
    if network.classes != classes:
        raise UserError(
            f"model {name} must be for the {classes} classes of the data, got {network.classes}: make it for "
            "num_classes, FasterRCNN for one more, the background"
        )
    return network


def _fresh(name: str, classes: Sequence[str], arguments: dict[str, Any]) -> DenseDetector | TwoStageDetector:
    """One of torchvision's with fresh weights."""
    return _adapted(_unfilled(name, classes, arguments))


def _unfilled(name: str, classes: Sequence[str], arguments: dict[str, Any]) -> nn.Module:
    extra = int(name.startswith("fasterrcnn"))  # background
    fresh = {"weights": None, "weights_backbone": None, "num_classes": len(classes) + extra}
    try:
        return torchvision.models.get_model(name, **{**fresh, **arguments})
    except OSError as error:
        raise out_of_reach(name, error) from None
    except TypeError as error:
        raise UserError(f"detector {name} does not take the arguments {arguments}: {error}") from None


def _published(
    name: str, classes: Sequence[str], arguments: dict[str, Any], new_head: bool
) -> DenseDetector | TwoStageDetector:
    """One of torchvision's with its weights for the 80 classes of MS-COCO, or for others under new last layers."""
    weights = torchvision.models.get_model_weights(name)["DEFAULT"]
    categories = weights.meta["categories"]
    renewed = new_head and [one for one in categories if one not in UNUSED] != list(classes)
    kept = [] if renewed else of_classes(name, categories, classes)
    try:
        require_plain(weights)
        model = torchvision.models.get_model(name, weights=weights, **arguments)
    except (OSError, RuntimeError) as error:
        raise out_of_reach(name, error) from None
    if not renewed:
        return without_unused_classes(_adapted(model), kept)
    with_new_head(model, _unfilled(name, classes, arguments))
    return _adapted(with_number_of_classes(model, len(classes)))


def _adapted(model: nn.Module) -> DenseDetector | TwoStageDetector:
    if isinstance(model, FasterRCNN):
        return TwoStageDetector(model)
    assert isinstance(model, FCOS | RetinaNet)
    model.score_thresh = SCORE
    return DenseDetector(model)
