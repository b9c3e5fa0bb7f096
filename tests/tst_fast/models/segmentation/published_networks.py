"""Networks as CIRKD, DIST_KD and mmsegmentation publish them, as functions that make their parameters by name.

Written from the published names and from what the layers compute: evaluating one fills `state` with random values.
"""

import math

import torch
import torch.nn.functional as F


class Parameters:
    """Parameters made on first use, in float32, from a seed."""

    def __init__(self, seed=0):
        self.state = {}
        self.generator = torch.Generator().manual_seed(seed)

    def _get(self, name, make):
        return self.state.setdefault(name, make())

    def _normal(self, *shape):
        return torch.randn(shape, generator=self.generator)

    def convolution(self, name, x, width, side=1, stride=1, dilation=1, bias=False):
        fan_in = x.shape[1] * side * side
        weight = self._get(f"{name}.weight", lambda: self._normal(width, x.shape[1], side, side) / math.sqrt(fan_in))
        shift = self._get(f"{name}.bias", lambda: self._normal(width)) if bias else None
        return F.conv2d(x, weight, shift, stride, dilation * (side // 2), dilation)

    def norm(self, name, x):
        width = x.shape[1]
        mean, shift = (self._get(f"{name}.{each}", lambda: self._normal(width)) for each in ("running_mean", "bias"))
        variance, scale = (
            self._get(f"{name}.{each}", lambda: torch.rand(width, generator=self.generator) + 0.5)
            for each in ("running_var", "weight")
        )
        self._get(f"{name}.num_batches_tracked", lambda: torch.tensor(7))
        return F.batch_norm(x, mean, variance, scale, shift)


def _stem(p, x, widths, layers):
    for position, (width, (convolution, norm)) in enumerate(zip(widths, layers, strict=True)):
        stride = 1 if position else 2
        x = F.relu(p.norm(norm, p.convolution(convolution, x, width, 3, stride)))
    return F.max_pool2d(x, 3, 2, 1)


def _encoder(p, prefix, x, blocks, bottleneck):
    """The last two stages of a ResNet of stride 8; the first block of a dilated stage has half its dilation."""
    stages = []
    for stage, (width, stride, dilation, count) in enumerate(
        zip((64, 128, 256, 512), (1, 2, 1, 1), (1, 1, 2, 4), blocks, strict=True), start=1
    ):
        for block in range(count):
            name = f"{prefix}layer{stage}.{block}"
            first = block == 0
            step, entry = (stride, max(dilation // 2, 1)) if first else (1, dilation)
            out = width * 4 if bottleneck else width
            shortcut = x
            if first and (step > 1 or x.shape[1] != out):
                shortcut = p.convolution(f"{name}.downsample.0", x, out, 1, step)
                shortcut = p.norm(f"{name}.downsample.1", shortcut)
            if bottleneck:
                x = F.relu(p.norm(f"{name}.bn1", p.convolution(f"{name}.conv1", x, width)))
                x = F.relu(p.norm(f"{name}.bn2", p.convolution(f"{name}.conv2", x, width, 3, step, entry)))
                x = p.norm(f"{name}.bn3", p.convolution(f"{name}.conv3", x, out))
            else:
                x = F.relu(p.norm(f"{name}.bn1", p.convolution(f"{name}.conv1", x, out, 3, step, entry)))
                x = p.norm(f"{name}.bn2", p.convolution(f"{name}.conv2", x, out, 3, 1, dilation))
            x = F.relu(x + shortcut)
        stages.append(x)
    return stages[2:]


def cirkd(p, images, classes, context, blocks, bottleneck, width):
    """Logits and auxiliary logits of CIRKD's DeepLabV3 ("aspp") or PSPNet ("psp") on a deep-stem ResNet."""
    layers = [(f"pretrained.conv{i}", f"pretrained.bn{i}") for i in (1, 2, 3)]
    third, last = _encoder(p, "pretrained.", _stem(p, images, (64, 64, 128), layers), blocks, bottleneck)

    def layer(convolution, norm, x, width, side=1, dilation=1):
        return F.relu(p.norm(norm, p.convolution(convolution, x, width, side, 1, dilation)))

    size = last.shape[2:]
    if context == "aspp":
        maps = [layer("head.aspp.b0.0", "head.aspp.b0.1", last, width)]
        for number, rate in enumerate((12, 24, 36), start=1):
            name = f"head.aspp.b{number}.block"
            maps.append(layer(f"{name}.0", f"{name}.1", last, width, 3, rate))
        mean = layer("head.aspp.b4.gap.1", "head.aspp.b4.gap.2", F.adaptive_avg_pool2d(last, 1), width)
        maps.append(mean.expand(-1, -1, *size))
        x = layer("head.aspp.project.0", "head.aspp.project.1", torch.cat(maps, 1), width)
        classifier = "head.block.4"
    else:
        maps = [last]
        for number, grid in enumerate((1, 2, 3, 6), start=1):
            name = f"head.psp.conv{number}"
            pooled = layer(f"{name}.0", f"{name}.1", F.adaptive_avg_pool2d(last, grid), last.shape[1] // 4)
            maps.append(F.interpolate(pooled, size, mode="bilinear", align_corners=True))
        x, classifier = torch.cat(maps, 1), "head.classifier"
    x = layer("head.block.0", "head.block.1", x, width, 3)
    auxiliary = layer("auxlayer.block.0", "auxlayer.block.1", third, third.shape[1] // 4, 3)
    return (
        p.convolution(classifier, x, classes, bias=True),
        p.convolution("auxlayer.block.4", auxiliary, classes, bias=True),
    )


def mmsegmentation_pspnet(p, images, classes, blocks, bottleneck=True):
    """Logits and auxiliary logits of mmsegmentation's PSPNet on ResNetV1c."""
    layers = [(f"backbone.stem.{i}", f"backbone.stem.{i + 1}") for i in (0, 3, 6)]
    third, last = _encoder(p, "backbone.", _stem(p, images, (32, 32, 64), layers), blocks, bottleneck)

    def layer(name, x, width, side=1):
        return F.relu(p.norm(f"{name}.bn", p.convolution(f"{name}.conv", x, width, side)))

    width, maps = last.shape[1] // 4, [last]
    for number, grid in enumerate((1, 2, 3, 6)):
        pooled = layer(f"decode_head.psp_modules.{number}.1", F.adaptive_avg_pool2d(last, grid), width)
        maps.append(F.interpolate(pooled, last.shape[2:], mode="bilinear", align_corners=False))
    x = layer("decode_head.bottleneck", torch.cat(maps, 1), width, 3)
    auxiliary = layer("auxiliary_head.convs.0", third, third.shape[1] // 4, 3)
    return (
        p.convolution("decode_head.conv_seg", x, classes, bias=True),
        p.convolution("auxiliary_head.conv_seg", auxiliary, classes, bias=True),
    )
