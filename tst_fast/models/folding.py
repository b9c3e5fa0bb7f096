"""Folding batch norms of frozen networks into the convolutions before them."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeGuard
from weakref import ref

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from tst_fast.models.frozen import frozen

NORMS = ("torch.nn.modules.batchnorm.BatchNorm2d", "timm.layers.norm_act.BatchNormAct2d")
"""Classes that are folded, by name: to import timm takes seconds. timm's holds, as children, what comes after it."""


@torch.no_grad()
def fold_batch_norms(network: nn.Module, size: tuple[int, int]) -> int:
    """Put each batch norm that alone takes what a convolution puts out into that convolution's weights, in place.

    In eval mode the network then computes the same, but for rounding; it can no longer be trained, nor its weights be
    saved. Which layers follow each other is seen in one forward pass of a blank image. Layers with hooks stay.

    Args:
        network: images [B, 3, H, W] to anything; frozen for good.
        size: height and width of an image that it takes.

    Returns:
        How many batch norms are gone.
    """
    layers = {layer: name for name, layer in network.named_modules() if not _has_hooks(layer)}
    convolutions = [layer for layer in layers if type(layer) is nn.Conv2d]
    norms = [layer for layer in layers if _is_batch_norm(layer)]
    if not convolutions or not norms:
        return 0
    pairs = _pairs(network, convolutions, norms, size)
    for convolution, norm in pairs:
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None and variance is not None  # it has statistics
        of_norm = mean, variance, norm.eps, norm.weight, norm.bias
        weight, bias = fuse_conv_bn_weights(convolution.weight, convolution.bias, *of_norm)
        convolution.weight.copy_(weight)  # and not replaced: an optimizer that has ended may still hold it
        convolution.bias = bias.requires_grad_(False)
        parent, _, last = layers[norm].rpartition(".")
        setattr(network.get_submodule(parent), last, nn.Sequential(*norm.children()))
    return len(pairs)


def _is_batch_norm(layer: nn.Module) -> TypeGuard[nn.BatchNorm2d]:
    """Whether a layer only applies statistics that it has, and then its children in turn."""
    name = f"{type(layer).__module__}.{type(layer).__qualname__}"
    return name in NORMS and isinstance(layer, nn.BatchNorm2d) and layer.track_running_stats


def _has_hooks(layer: nn.Module) -> bool:
    return bool(layer._forward_hooks or layer._forward_pre_hooks)


def _pairs(
    network: nn.Module, convolutions: Sequence[nn.Conv2d], norms: Sequence[nn.BatchNorm2d], size: tuple[int, int]
) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """A convolution and a norm, each called once, where nothing but the norm has what the convolution puts out."""
    watch, calls = _Watch(), Counter[nn.Module]()
    taken: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def put_out(layer: nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> None:
        calls[layer] += 1
        watch.made[id(output)] = ref(output), layer

    def take_in(layer: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        calls[layer] += 1
        maker = watch.maker(inputs[0])
        if maker is not None:
            taken.append((maker, layer))

    handles = [layer.register_forward_hook(put_out) for layer in convolutions]
    handles += [layer.register_forward_pre_hook(take_in) for layer in norms]
    weight = next(network.parameters())
    images = torch.zeros(1, 3, *size, dtype=weight.dtype, device=weight.device)
    with frozen(network), watch:
        output = network.forward(images)  # not by a call, which would compile a network that is to be compiled
    for handle in handles:
        handle.remove()
    kept = {layer for made, layer in watch.made.values() if made() is not None}  # in the output, or in a list somewhere
    del output
    tied = Counter(id(weight) for layer in network.modules() for weight in layer._parameters.values())
    return [
        (one, norm)
        for one, norm in taken
        if calls[one] == calls[norm] == watch.uses[one] == tied[id(one.weight)] == 1 and one not in kept
    ]


class _Watch(TorchFunctionMode):
    """How often what a convolution has put out is made something of."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[int, tuple[ref[Tensor], nn.Conv2d]] = {}
        self.uses = Counter[nn.Conv2d]()

    def maker(self, value: Any) -> nn.Conv2d | None:
        """The convolution that put out a value, if one did."""
        made, layer = self.made.get(id(value), (None, None))
        return layer if made is not None and made() is value else None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if any(isinstance(leaf, Tensor) for leaf in tree_leaves(result)):  # and not a shape
            makers = map(self.maker, tree_leaves((args, kwargs)))
            self.uses.update(layer for layer in makers if layer is not None)
        return result
