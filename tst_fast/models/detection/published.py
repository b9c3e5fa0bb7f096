"""Published detectors: torchvision's, whose weights for MS-COCO have 91 rows of classes, of which 80 are used.

A row is a category's number, from 0 for background to 90; ten numbers were never given to a category.
"""

import re
from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from tst_fast.errors import UserError

NUMBERS = 91
Network = TypeVar("Network", bound=nn.Module)
UNUSED = ("__background__", "N/A")
ROWS = {
    "head.classification_head.cls_logits.weight": 1,
    "head.classification_head.cls_logits.bias": 1,
    "roi_heads.box_predictor.cls_score.weight": 1,
    "roi_heads.box_predictor.cls_score.bias": 1,
    "roi_heads.box_predictor.bbox_pred.weight": 4,
    "roi_heads.box_predictor.bbox_pred.bias": 4,
}
"""Weights with rows for each class, and how many of a class follow one another. Of anchors, all classes follow."""


def of_classes(name: str, categories: Sequence[str], classes: Sequence[str]) -> list[int]:
    """The numbers of the published categories that are the data's classes, in order.

    Args:
        name: of the detector, for the message.
        categories: published names by number, `UNUSED` among them.
        classes: names of the data's classes.

    Raises:
        UserError: they are others.
    """
    used = [number for number, category in enumerate(categories) if category not in UNUSED]
    if len(used) != len(classes):
        raise UserError(
            f"the published weights of {name} are for {len(used)} classes and the data has {len(classes)}: give "
            "--teacher.fine_tune true, and the teacher first learns the data's; or give a checkpoint"
        )
    differing = [(categories[n], own) for n, own in zip(used, classes, strict=True) if categories[n] != own]
    if differing:
        raise UserError(
            f"the published weights of {name} are for other classes than the data's, such as {differing[0][0]!r} where "
            f"the data has {differing[0][1]!r}: train it first, or give a checkpoint"
        )
    return used


def used_rows(state: dict[str, Tensor], used: Sequence[int]) -> dict[str, Tensor]:
    """A state dict of 91 rows of classes with those of the used categories alone, and that of background.

    Args:
        state: names to tensors, of torchvision's detectors.
        used: numbers of categories.
    """
    cut = dict(state)
    for name, each in ROWS.items():
        if name not in cut:
            continue
        kept = [0, *used] if name.startswith("roi_heads") else list(used)
        rows = cut[name].unflatten(0, (NUMBERS, each) if name.startswith("roi_heads") else (-1, NUMBERS))
        cut[name] = (rows[kept] if name.startswith("roi_heads") else rows[:, kept]).flatten(0, 1)
    return cut


def without_unused_classes(detector: Network, used: Sequence[int]) -> Network:
    """The same detector, its 91 rows of classes cut to the used ones."""
    state = used_rows(detector.state_dict(), used)
    for name, values in state.items():
        if name not in ROWS:
            continue
        path, _, kind = name.rpartition(".")
        layer = detector.get_submodule(path)
        setattr(layer, kind, nn.Parameter(values.clone(), requires_grad=getattr(layer, kind).requires_grad))
        if kind == "weight":
            outputs = "out_channels" if isinstance(layer, nn.Conv2d) else "out_features"
            setattr(layer, outputs, len(values))
    return with_number_of_classes(detector, len(used))


def with_number_of_classes(detector: Network, number: int) -> Network:
    """The same detector, its modules told how many classes there are."""
    for module in detector.modules():
        if hasattr(module, "num_classes") and isinstance(module.num_classes, int):
            setattr(module, "num_classes", number)  # noqa: B010
    return detector


def own_names(state: dict[str, Tensor], classes: int) -> dict[str, Tensor]:
    """A published state dict by the names and rows that the detectors here have.

    Understood are torchvision's files, also those of RetinaNet from before its heads had norms, and those of
    mmdetection's RetinaNet on ResNets (renamed here by their published names; not yet tried on a
    published file).

    Args:
        state: names to tensors.
        classes: their number: where it is 80 and the file has 91 rows, the unused ones are left out.
    """
    if any(name.startswith("neck.") for name in state):
        state = _of_mmdetection(state)
    if "head.regression_head.conv.6.weight" in state and not any("bbox_ctrness" in name for name in state):
        state = {OLD_HEAD.sub(_new_head, name): values for name, values in state.items()}
    used = [number for number in range(1, NUMBERS) if number not in NEVER_GIVEN]
    rows = [state[name].shape[0] for name in ROWS if name in state]
    if classes == len(used) and rows and all(count % NUMBERS == 0 for count in rows):
        return used_rows(state, used)
    return state


def taken_over(state: dict[str, Tensor], detector: nn.Module, classes: int) -> dict[str, Tensor]:
    """A state dict by `own_names`; batch norms of which it has no count of batches are frozen in the detector.

    So they are in torchvision's files, and in those of what began from them.

    Args:
        state: of a file.
        detector: changed in place.
        classes: their number.
    """
    state = own_names(state, classes)
    # torchvision takes an epsilon of 0 for its first Faster R-CNN and RetinaNet, both on ResNets.
    is_fcos = any("bbox_ctrness" in name for name in state)
    is_exact = "backbone.body.layer1.0.conv1.weight" in state and not is_fcos
    for path, norm in list(detector.named_modules()):
        counted = f"{path}.num_batches_tracked" in state
        if isinstance(norm, nn.BatchNorm2d) and f"{path}.running_var" in state and not counted:
            epsilon = 0.0 if is_exact and path.startswith("backbone.body.") else norm.eps
            detector.set_submodule(path, FrozenBatchNorm2d(norm.num_features, eps=epsilon))
    return state


OLD_HEAD = re.compile(r"(_head\.conv)\.(\d+)\.(weight|bias)$")
"""Of a RetinaNet whose heads are convolutions and activations in turn, without norms."""


def _new_head(name: re.Match[str]) -> str:
    return f"{name[1]}.{int(name[2]) // 2}.0.{name[3]}"


NEVER_GIVEN = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
"""Numbers below 91 that are no category of MS-COCO's."""

_MMDETECTION = (
    (r"^backbone\.", "backbone.body."),
    (r"^neck\.lateral_convs\.(\d+)\.conv\.", r"backbone.fpn.inner_blocks.\1.0."),
    (r"^neck\.fpn_convs\.(\d+)\.conv\.", r"backbone.fpn.layer_blocks.\1.0."),
    (r"^bbox_head\.cls_convs\.(\d+)\.conv\.", r"head.classification_head.conv.\1.0."),
    (r"^bbox_head\.reg_convs\.(\d+)\.conv\.", r"head.regression_head.conv.\1.0."),
    (r"^bbox_head\.retina_cls\.", "head.classification_head.cls_logits."),
    (r"^bbox_head\.retina_reg\.", "head.regression_head.bbox_reg."),
)


def _of_mmdetection(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """mmdetection's names as torchvision's; its levels beyond the backbone's are convolutions of the neck."""
    laterals = {name.split(".")[2] for name in state if name.startswith("neck.lateral_convs.")}
    renamed = {}
    for name, values in state.items():
        if name.startswith("backbone.fc."):
            continue
        for pattern, replacement in _MMDETECTION:
            name = re.sub(pattern, replacement, name)
        level = re.match(r"backbone\.fpn\.layer_blocks\.(\d+)\.0\.(.*)", name)
        if level and int(level[1]) >= len(laterals):
            name = f"backbone.fpn.extra_blocks.p{int(level[1]) - len(laterals) + 6}.{level[2]}"
        renamed[name] = values
    return renamed
