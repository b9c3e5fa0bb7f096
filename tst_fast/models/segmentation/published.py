"""Published segmentation networks: what their parameters are called, and what that is in a `Segmenter`.

| published by | network here | arguments |
| --- | --- | --- |
| CIRKD, DIST_KD: DeepLabV3-R101 (teacher) | deeplabv3/resnet101s | {align_corners: true} |
| CIRKD, DIST_KD: DeepLabV3-R18, PSPNet-R18 | deeplabv3/resnet18, pspnet/resnet18 | {align_corners: true, encoder: \
{stem_type: deep, stem_width: 64}} |
| mmsegmentation: PSPNet-R50-D8, -R101-D8 | pspnet/resnet50c, pspnet/resnet101c | {} |

Later networks of CIRKD's differ: {width: 512} for DeepLabV3, {width: 256} for PSPNet-R101. CIRKD's and DIST_KD's take
images in BGR, 0..255, minus the mean: `CIRKD_MEAN` and `CIRKD_STD`, with bgr. mmsegmentation's take ImageNet's mean
and standard deviation in RGB. Names and shapes are tested, with random values; no published file was at hand.
"""

import re

from torch import Tensor

from tst_fast.errors import UserError

CIRKD_MEAN = tuple(value / 255 for value in (122.67891434, 116.66876762, 104.00698793))
"""RGB, as a share of 255."""
CIRKD_STD = (1 / 255,) * 3

_STEM = {"conv1": "conv1.0", "bn1": "conv1.1", "conv2": "conv1.3", "bn2": "conv1.4", "conv3": "conv1.6", "bn3": "bn1"}
_MM_STEM = {"0": "conv1.0", "1": "conv1.1", "3": "conv1.3", "4": "conv1.4", "6": "conv1.6", "7": "bn1"}
_MM_LAYER = {"conv": "0", "bn": "1"}

_CIRKD_NAMES = (
    (r"pretrained\.(conv[123]|bn[123])\.(.+)", lambda m: f"encoder.{_STEM[m[1]]}.{m[2]}"),
    (r"pretrained\.(layer\d.+)", lambda m: f"encoder.{m[1]}"),
    (r"head\.aspp\.b([0-3])\.(?:block\.)?(\d.+)", lambda m: f"context.branches.{m[1]}.{m[2]}"),
    (r"head\.aspp\.b4\.gap\.(\d)(.+)", lambda m: f"context.pool.{int(m[1]) - 1}{m[2]}"),  # after an average pooling
    (r"head\.aspp\.project\.(.+)", lambda m: f"context.project.{m[1]}"),
    (r"head\.psp\.conv([1-4])\.(.+)", lambda m: f"context.branches.{int(m[1]) - 1}.{m[2]}"),
    (r"head\.block\.([01])\.(.+)", lambda m: f"head.0.{m[1]}.{m[2]}"),
    (r"head\.(?:block\.4|classifier)\.(.+)", lambda m: f"head.2.{m[1]}"),
    (r"auxlayer\.block\.([01])\.(.+)", lambda m: f"auxiliary.0.{m[1]}.{m[2]}"),
    (r"auxlayer\.block\.4\.(.+)", lambda m: f"auxiliary.2.{m[1]}"),
)
_MM_NAMES = (
    (r"backbone\.stem\.(\d)\.(.+)", lambda m: f"encoder.{_MM_STEM[m[1]]}.{m[2]}"),
    (r"backbone\.(layer\d.+)", lambda m: f"encoder.{m[1]}"),
    (
        r"decode_head\.psp_modules\.(\d)\.1\.(conv|bn)\.(.+)",
        lambda m: f"context.branches.{m[1]}.{_MM_LAYER[m[2]]}.{m[3]}",
    ),
    (r"decode_head\.bottleneck\.(conv|bn)\.(.+)", lambda m: f"head.0.{_MM_LAYER[m[1]]}.{m[2]}"),
    (r"decode_head\.conv_seg\.(.+)", lambda m: f"head.2.{m[1]}"),
    (r"auxiliary_head\.convs\.0\.(conv|bn)\.(.+)", lambda m: f"auxiliary.0.{_MM_LAYER[m[1]]}.{m[2]}"),
    (r"auxiliary_head\.conv_seg\.(.+)", lambda m: f"auxiliary.2.{m[1]}"),
)


def own_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A published state dict by the names of a `Segmenter`; another is given back as it is.

    Raises:
        UserError: a network of mmsegmentation's whose convolutions have other dilations than timm's.
    """
    if any(name.startswith("pretrained.") for name in state):
        return {_renamed(name, _CIRKD_NAMES): value for name, value in state.items()}
    if any(name.startswith("decode_head.") for name in state):
        if "backbone.layer4.0.conv3.weight" not in state:
            raise UserError(
                "mmsegmentation's ResNet-18 and -34 dilate other convolutions than timm's, so that their weights mean "
                "something else there: take CIRKD's, or train the network here"
            )
        return {_renamed(name, _MM_NAMES): value for name, value in state.items()}
    return state


def _renamed(name: str, table: tuple) -> str:
    """What no pattern knows keeps its name, to be listed as unexpected."""
    for pattern, new in table:
        if found := re.fullmatch(pattern, name):
            return new(found)
    return name
