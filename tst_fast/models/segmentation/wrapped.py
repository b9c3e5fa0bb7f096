"""The segmentation networks of torchvision and of segmentation_models_pytorch, their logits at their own stride."""

import copy
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from tst_fast.errors import UserError, nearest
from tst_fast.models.published import out_of_reach, require_classes, require_plain, with_new_head
from tst_fast.models.segmentation.network import SegmentationNetwork
from tst_fast.models.segmentation.output import SegmentationOutput


class TorchvisionSegmenter(SegmentationNetwork):
    """A network of torchvision.models.segmentation before its logits are resized; parameters keep their names.

    Args:
        model: as torchvision makes it.
    """

    auxiliary_name = "aux_classifier"

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.backbone, self.classifier = model.get_submodule("backbone"), model.get_submodule("classifier")
        self.aux_classifier = getattr(model, "aux_classifier", None)
        self.stride = _stride(self)

    def forward(self, images: Tensor) -> SegmentationOutput:
        """See `SegmentationNetwork`."""
        features = self.backbone(images)
        logits = self.classifier(features.get("out", features))  # LR-ASPP takes two maps
        auxiliary = None if self.aux_classifier is None else self.aux_classifier(features["aux"])
        return SegmentationOutput(logits, auxiliary)


def torchvision_segmenter(
    name: str, num_classes: int, pretrained: bool, new_head: bool, auxiliary: bool = True, **arguments: Any
) -> TorchvisionSegmenter:
    """A network of torchvision's, with fresh weights or those that it publishes.

    Args:
        name: in torchvision.models.segmentation.
        num_classes: channels of the logits.
        pretrained: with the published weights: 21 classes, those of Pascal VOC.
        new_head: draw the last layers where the data has another number of classes.
        auxiliary: whether there is an auxiliary head; LR-ASPP has none in any case.
        arguments: of torchvision's constructor.

    Raises:
        UserError: there is no such network, or no published weights for this number of classes, or within reach.
    """
    known = torchvision.models.list_models(torchvision.models.segmentation)
    if name not in known:
        raise UserError(
            f"torchvision has no segmentation network {name!r}{nearest(name, known)} It has {', '.join(known)}."
        )
    if pretrained:
        network = TorchvisionSegmenter(_published(name, num_classes, arguments, new_head))
        return network if auxiliary else network.without_auxiliary()
    return TorchvisionSegmenter(_fresh(name, num_classes, auxiliary, arguments))


def _fresh(name: str, num_classes: int, auxiliary: bool, arguments: dict[str, Any]) -> nn.Module:
    heads = {} if name.startswith("lraspp") else {"aux_loss": auxiliary}
    settings = {"weights_backbone": None, "num_classes": num_classes, **heads, **arguments}
    try:
        return torchvision.models.get_model(name, weights=None, **settings)
    except OSError as error:
        raise out_of_reach(f"torchvision's {name}", error) from None


def _published(name: str, num_classes: int, arguments: dict[str, Any], new_head: bool) -> nn.Module:
    weights = torchvision.models.get_model_weights(name)["DEFAULT"]
    classes = len(weights.meta["categories"])
    if not new_head:
        require_classes(f"torchvision's {name}", classes, num_classes)
    try:
        require_plain(weights)
        published = torchvision.models.get_model(name, weights=weights, **arguments)
    except (OSError, RuntimeError) as error:
        raise out_of_reach(f"torchvision's {name}", error) from None
    if classes == num_classes:
        return published
    return with_new_head(published, _fresh(name, num_classes, True, arguments))  # an auxiliary head as the published


class SmpSegmenter(SegmentationNetwork):
    """A network of segmentation_models_pytorch before its logits are resized; parameters keep their names.

    Args:
        model: as the library makes it.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = model.get_submodule("encoder"), model.get_submodule("decoder")
        head = model.get_submodule("segmentation_head")
        assert isinstance(head, nn.Sequential)
        head[1] = nn.Identity()  # what resizes the logits
        self.segmentation_head = head
        self.stride = _stride(self)

    @property
    def multiple(self) -> int:
        coarsest = self.encoder.output_stride
        assert isinstance(coarsest, int)
        return max(coarsest, self.stride)

    def forward(self, images: Tensor) -> SegmentationOutput:
        """See `SegmentationNetwork`.

        Raises:
            UserError: a side is not a `multiple`, which the decoders cannot put together again.
        """
        height, width = images.shape[2:]
        if height % self.multiple or width % self.multiple:
            raise UserError(
                f"a network of segmentation_models_pytorch got images of {height}x{width} pixels: both sides must be "
                f"multiples of {self.multiple}"
            )
        logits = self.segmentation_head(self.decoder(self.encoder(images)))
        return SegmentationOutput(logits, align_corners=True)  # as the library resizes them


def smp_segmenter(name: str, num_classes: int, **arguments: Any) -> SmpSegmenter:
    """A network of segmentation_models_pytorch's with fresh weights.

    Args:
        name: of the architecture, such as PSPNet or Segformer.
        num_classes: channels of the logits.
        arguments: such as encoder_name; encoder_weights is null by default.

    Raises:
        UserError: the library is not installed, there is no such architecture, or weights are out of reach.
    """
    try:
        import segmentation_models_pytorch as smp
        from segmentation_models_pytorch.base import SegmentationModel
    except ImportError:
        raise UserError(f"smp/{name} needs segmentation_models_pytorch: pip install 'tst-fast[smp]'") from None
    try:
        model = smp.create_model(name, **{"encoder_weights": None, **arguments}, classes=num_classes)
    except OSError as error:
        raise out_of_reach(f"smp/{name}", error) from None
    except (KeyError, RuntimeError, ValueError) as error:
        raise UserError(f"segmentation_models_pytorch cannot make {name!r}: {error}") from None
    if type(model).forward is not SegmentationModel.forward:
        raise UserError(f"smp/{name} has a forward pass of its own, which is not supported: take another architecture")
    return SmpSegmenter(model)


def _stride(network: SegmentationNetwork, side: int = 256) -> int:
    """Pixels from one cell to the next, by the shape of the logits of an image of no values."""
    shapes_only = copy.deepcopy(network).to("meta").eval()
    shapes_only.stride = 1  # unknown as yet
    with torch.no_grad():
        return side // shapes_only(torch.empty(1, 3, side, side, device="meta")).logits.shape[-1]
