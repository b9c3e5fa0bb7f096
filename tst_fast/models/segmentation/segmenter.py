"""An encoder, a context and a head: DeepLabV3, PSPNet and their like."""

from typing import Any, Literal

from torch import Tensor, nn

from tst_fast.errors import UserError, nearest
from tst_fast.models.features import timm_features
from tst_fast.models.initial import initialise_convolutions
from tst_fast.models.published import out_of_reach
from tst_fast.models.segmentation.contexts import Aspp, Psp, convolution
from tst_fast.models.segmentation.network import SegmentationNetwork
from tst_fast.models.segmentation.output import SegmentationOutput

STRIDE = 8
"""Pixels from one cell to the next: where an encoder would be coarser, its convolutions are dilated instead."""


class Segmenter(SegmentationNetwork):
    """Logits of the classes for each cell of an image.

    Args:
        encoder: gives the features of its last two stages, both at the same stride; a timm encoder made with
            `features_only`.
        context: features of the last stage to features of as many cells.
        head: these to logits.
        auxiliary: features of the last stage but one to logits; None for none.
        align_corners: see `SegmentationOutput`.
    """

    def __init__(
        self,
        encoder: nn.Module,
        context: nn.Module,
        head: nn.Module,
        auxiliary: nn.Module | None = None,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        self.encoder, self.context, self.head, self.auxiliary = encoder, context, head, auxiliary
        self.align_corners = align_corners
        self.stride = timm_features(encoder).reduction()[-1]

    def forward(self, images: Tensor) -> SegmentationOutput:
        """Images, floating [B, 3, H, W], normalised, to logits [B, C, H / stride, W / stride]."""
        before, last = self.encoder(images)
        auxiliary = None if self.auxiliary is None else self.auxiliary(before)
        return SegmentationOutput(self.head(self.context(last)), auxiliary, self.align_corners)


def make_segmenter(
    kind: Literal["deeplabv3", "pspnet"],
    name: str,
    num_classes: int,
    encoder: dict[str, Any] | None = None,
    width: int | None = None,
    auxiliary: bool = True,
    align_corners: bool = False,
) -> Segmenter:
    """A `Segmenter` on timm's encoder of this name, its weights from torch's global generator.

    Args:
        kind: deeplabv3 has `Aspp` for a context, pspnet has `Psp`.
        name: of the encoder in timm.
        num_classes: channels of the logits.
        encoder: further arguments of the encoder, such as {pretrained: true} for the weights that timm publishes.
        width: channels before the logits; None: those of CIRKD's and mmsegmentation's networks for ResNets (256 or
            128 with `Aspp`, a quarter of the encoder's with `Psp`).
        auxiliary: whether there is an auxiliary head.
        align_corners: how averages and logits are resized: true in CIRKD and DIST_KD, false in mmsegmentation.

    Raises:
        UserError: timm has no such encoder, it cannot give features at stride 8, or its weights are out of reach.
    """
    import timm  # only where it is needed: it takes seconds to import

    known = timm.list_models()
    if name.partition(".")[0] not in known:  # what follows a dot is timm's name for a set of weights
        raise UserError(f"timm has no model {name!r} for an encoder{nearest(name, known)}")
    settings = {"features_only": True, "output_stride": STRIDE, "out_indices": (-2, -1), **(encoder or {})}
    try:
        made = timm.create_model(name, **settings)
    except OSError as error:
        raise out_of_reach(name, error) from None
    except (TypeError, NotImplementedError, AssertionError, AttributeError, RuntimeError) as error:
        raise UserError(
            f"timm's {name} cannot be an encoder of stride {settings['output_stride']} "
            f"({str(error) or type(error).__name__}): take a convolutional network, such as resnet18 or mobilenetv2_100"
        ) from None
    before, channels = timm_features(made).channels()
    if kind == "deeplabv3":
        inner = width or (256 if channels >= 1024 else 128)
        context = Aspp(channels, inner)
    else:
        inner = width or channels // 4
        context = Psp(channels, align_corners)
    head = _head(context.width, inner, num_classes)
    segmenter = Segmenter(
        made, context, head, _head(before, before // 4, num_classes) if auxiliary else None, align_corners
    )
    for part in (context, head, segmenter.auxiliary):
        if part is not None:
            initialise_convolutions(part)
    return segmenter


def _head(channels: int, width: int, num_classes: int) -> nn.Sequential:
    return nn.Sequential(convolution(channels, width, 3), nn.Dropout(0.1), nn.Conv2d(width, num_classes, 1))
