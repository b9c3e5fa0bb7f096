"""Pyramids of features: our small one, and those on torchvision's and timm's networks."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torchvision
from torch import Tensor, nn
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock, LastLevelP6P7

from tst_fast.errors import UserError, nearest
from tst_fast.models.features import timm_features
from tst_fast.models.published import out_of_reach

RESNETS = tuple(name for name in torchvision.models.list_models(torchvision.models) if "resne" in name)


Extra = Callable[[int, int], ExtraFPNBlock]


class LevelsOfPyramid(LastLevelP6P7):
    """Two coarser levels, made of the pyramid's last one.

    Args:
        channels: of the backbone's last stage: not used.
        width: of the pyramid.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(width, width)


class LevelsOfBackbone(LastLevelP6P7):
    """Two coarser levels, made of the backbone's last stage, and without ReLU between them: mmdetection's RetinaNet."""

    def forward(self, p: list[Tensor], c: list[Tensor], names: list[str]) -> tuple[list[Tensor], list[str]]:
        """Append both to the pyramid's levels, finest first, and to their names."""
        p6 = self.p6(c[-1])
        return [*p, p6, self.p7(p6)], [*names, "p6", "p7"]


class Stages(nn.Module):
    """A small convolutional network: stages of 3x3 convolutions, each at half the resolution of the one before.

    Args:
        channels: of each stage. The first is a single convolution; the features of the last two are returned.
        depth: convolutions in each of the others.
    """

    def __init__(self, channels: Sequence[int], depth: int) -> None:
        super().__init__()
        before, stages = 3, []
        for number, width in enumerate(channels):
            layers = [_convolution(before, width, stride=2)]
            layers += [_convolution(width, width, stride=1) for _ in range(depth - 1 if number else 0)]
            stages.append(nn.Sequential(*layers))
            before = width
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images [B, 3, H, W] to the features of the last two stages."""
        features = []
        for stage in self.stages:
            images = stage(images)
            features.append(images)
        return features[-2:]


class Pyramid(nn.Module):
    """Features of one width at each level (Lin et al., 2017), by the number of the level.

    Args:
        body: images [B, 3, H, W] to a list of features, from fine to coarse.
        channels: of these features.
        width: of the pyramid's.
        strides: of the features, in pixels.
        extra: makes further, coarser levels.
    """

    def __init__(
        self,
        body: nn.Module,
        channels: Sequence[int],
        width: int,
        strides: Sequence[int],
        extra: ExtraFPNBlock | None = None,
    ) -> None:
        super().__init__()
        self.body, self.out_channels, self.strides = body, width, tuple(strides)
        self.fpn = FeaturePyramidNetwork(list(channels), width, extra)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Images [B, 3, H, W] to features [B, width, h, w]."""
        return self.fpn(OrderedDict((str(level), feature) for level, feature in enumerate(self.body(images))))


def small_pyramid(channels: Sequence[int] = (32, 64, 128, 128), depth: int = 2, width: int = 64) -> Pyramid:
    """`Stages` with two levels of features: with four stages, at strides 8 and 16.

    Args:
        channels: see `Stages`.
        depth: see `Stages`.
        width: of the features.

    Raises:
        UserError: there are fewer than two stages.
    """
    if len(channels) < 2 or depth < 1:
        raise UserError(f"a pyramid must have two stages and depth 1 or more, got {list(channels)} and {depth}")
    coarsest = 2 ** len(channels)
    return Pyramid(Stages(channels, depth), channels[-2:], width, (coarsest // 2, coarsest))


def pyramid_on(
    name: str,
    extra: Extra,
    levels: Sequence[int],
    width: int = 256,
    pretrained: bool = False,
    trainable_layers: int = 5,
    frozen_norms: bool = False,
    **arguments: Any,
) -> nn.Module:
    """A pyramid on a network of torchvision's or timm's.

    Args:
        name: of a ResNet of torchvision's, or timm/NAME.
        extra: from the channels of the last stage and the width to what makes further, coarser levels.
        levels: stages whose features are used: 2 has stride 4, 3 has stride 8, and so on.
        width: of the features; torchvision's ResNets have 256.
        pretrained: start from the published ImageNet weights; needs internet.
        trainable_layers: of torchvision's ResNets: how many of the five learn, from the last one.
        frozen_norms: keep the statistics and scales of batch norm, as is usual where few images are in a step.
        arguments: of timm's constructor.

    Raises:
        UserError: there is no such network, it has no such stages, or its weights are out of reach.
    """
    source, _, plain = name.rpartition("/")
    if source == "timm":
        made = _timm_pyramid(plain, extra, levels, width, pretrained, arguments)
    elif source in ("", "torchvision") and plain in RESNETS:
        made = _resnet_pyramid(plain, extra, levels, width, pretrained, trainable_layers)
    else:
        raise UserError(
            f"backbone {name!r}: there is none{nearest(plain, RESNETS)} Known are pyramid (ours), torchvision's "
            f"{', '.join(RESNETS)}, and timm/NAME for all of timm's that give features"
        )
    if frozen_norms:
        from timm.layers.norm_act import freeze_batch_norm_2d

        freeze_batch_norm_2d(made)
    return made


def _resnet_pyramid(
    name: str, extra: Extra, levels: Sequence[int], width: int, pretrained: bool, trainable_layers: int
) -> nn.Module:
    if width != 256:
        raise UserError(f"the pyramid on torchvision's {name} must be of width 256, got {width}: use timm/{name}")
    try:
        return resnet_fpn_backbone(
            backbone_name=name,
            weights=torchvision.models.get_model_weights(name)["DEFAULT"] if pretrained else None,
            norm_layer=nn.BatchNorm2d,
            trainable_layers=trainable_layers,
            returned_layers=[level - 1 for level in levels],
            extra_blocks=extra(512 if name in ("resnet18", "resnet34") else 2048, width),
        )
    except (OSError, RuntimeError) as error:
        raise out_of_reach(name, error) from None


def _timm_pyramid(
    name: str,
    extra: Extra,
    levels: Sequence[int],
    width: int,
    pretrained: bool,
    arguments: dict[str, Any],
) -> Pyramid:
    import timm  # only where it is needed: it takes seconds to import

    known = timm.list_models()
    if name.partition(".")[0] not in known:
        raise UserError(f"timm has no model {name!r} for a backbone{nearest(name, known)}")
    try:
        known_strides = timm_features(timm.create_model(name, features_only=True, **arguments)).reduction()
        indices = [known_strides.index(2**level) for level in levels]
        body = timm.create_model(name, features_only=True, pretrained=pretrained, out_indices=indices, **arguments)
    except OSError as error:
        raise out_of_reach(name, error) from None
    except (TypeError, ValueError, RuntimeError, NotImplementedError, AttributeError) as error:
        raise UserError(
            f"timm's {name} cannot be a backbone with features at strides {[2**level for level in levels]} "
            f"({str(error) or type(error).__name__}): take a network with stages, such as resnet18 or convnext_tiny"
        ) from None
    channels = timm_features(body).channels()
    return Pyramid(body, channels, width, [2**level for level in levels], extra(channels[-1], width))


def _convolution(before: int, after: int, stride: int) -> nn.Sequential:
    layer = nn.Conv2d(before, after, 3, stride, 1, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(layer, nn.BatchNorm2d(after), nn.ReLU(inplace=True))
