"""Segmentation networks by name."""

from typing import Any

from tst_fast.config.imports import is_import_path
from tst_fast.errors import UserError, nearest
from tst_fast.models.build import own_model
from tst_fast.models.segmentation.dilated import Dilated
from tst_fast.models.segmentation.network import SegmentationNetwork
from tst_fast.models.segmentation.segmenter import make_segmenter
from tst_fast.models.segmentation.wrapped import smp_segmenter, torchvision_segmenter

KINDS = ("deeplabv3", "pspnet", "torchvision", "smp")


def without_published(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a network whose weights come from elsewhere: its encoder's need not be fetched."""
    encoder = arguments.get("encoder")
    return {**arguments, "encoder": {**encoder, "pretrained": False}} if encoder else arguments


def build_segmenter(
    name: str, num_classes: int, arguments: dict[str, Any], pretrained: bool = False, new_head: bool = False
) -> SegmentationNetwork:
    """A network with fresh weights from torch's global generator, or with published ones.

    Args:
        name: dilated (small, for small images); deeplabv3/ENCODER or pspnet/ENCODER on timm's ENCODER;
            torchvision/NAME, such as torchvision/deeplabv3_resnet50; smp/NAME of segmentation_models_pytorch, such as
            smp/PSPNet; my.module:Net of the user's own, a `SegmentationNetwork`.
        num_classes: classes of the labels.
        arguments: further arguments of its constructor: see `Dilated`, `make_segmenter`, `torchvision_segmenter`,
            `smp_segmenter`.
        pretrained: with the weights that torchvision publishes, downloaded on first use.
        new_head: draw the last layers of such a network where its weights are for another number of classes.

    Raises:
        UserError: an unknown name, arguments that it does not take, or no published weights for it.
    """
    if is_import_path(name):
        network = own_model(name, num_classes, arguments, pretrained)
        if not isinstance(network, SegmentationNetwork):
            raise UserError(f"model {name} must be a tst_fast.models.segmentation.SegmentationNetwork")
        if not isinstance(getattr(network, "stride", None), int):
            raise UserError(f"model {name} must have a stride, the pixels from one cell of its logits to the next")
        return network
    kind, _, plain = name.partition("/")
    if pretrained and kind != "torchvision":
        raise UserError(
            f"there are no published weights of {name} as a whole: give a checkpoint, or, for an encoder's weights, "
            "the arguments {encoder: {pretrained: true}}"
        )
    try:
        if name == "dilated":
            return Dilated(num_classes, **arguments)
        if plain and kind in ("deeplabv3", "pspnet"):
            return make_segmenter(kind, plain, num_classes, **arguments)
        if plain and kind == "torchvision":
            return torchvision_segmenter(plain, num_classes, pretrained, new_head, **arguments)
        if plain and kind == "smp":
            return smp_segmenter(plain, num_classes, **arguments)
    except (TypeError, NotImplementedError) as error:
        raise UserError(f"model {name} does not take the arguments {arguments}: {error}") from None
    raise UserError(
        f"there is no segmentation network {name!r}{nearest(kind, ['dilated', *KINDS])} Known are dilated, "
        f"{', '.join(f'{each}/NAME' for each in KINDS)}."
    )
