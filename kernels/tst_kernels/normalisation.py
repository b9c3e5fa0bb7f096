"""From 0..255 to 0..1, minus the mean, over the deviation; and what Cutout fills with."""

from collections.abc import Sequence

import torch
from torch import Tensor

ChannelValues = Sequence[float] | Tensor


def constants(mean: Sequence[float] | None, std: Sequence[float] | None, channels: int) -> list[float]:
    """Nine numbers: three channels' scale, their shift, and their fill in 0..255. One channel's stand three times.

    Raises:
        TypeError: a number in place of values.
        ValueError: not as many values as channels, or a deviation of 0.
    """
    for name, values in (("mean", mean), ("std", std)):
        if values is not None:
            _require_values(name, values, channels)
    centre = [0.0] * channels if mean is None else [float(value) for value in mean]
    deviation = [1.0] * channels if std is None else [float(value) for value in std]
    if 0 in deviation:
        raise ValueError(f"std must not be 0, got {deviation}")
    scale = [1 / (255 * value) for value in deviation]
    shift = [-value / by for value, by in zip(centre, deviation, strict=True)]
    fill = [127.5] * channels if mean is None else [255 * value for value in centre]
    return [value for values in (scale, shift, fill) for value in (values * 3)[:3]]


def constants_of_tensors(
    mean: ChannelValues | None, std: ChannelValues | None, channels: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """The same where mean or std is a tensor, perhaps on the device: [9], without a look at their values."""
    one = torch.ones(channels, device=device, dtype=dtype)
    centre = 0 * one if mean is None else _channel_values("mean", mean, one)
    deviation = one if std is None else _channel_values("std", std, one)
    fill = 127.5 * one if mean is None else 255 * centre
    return torch.cat([value.expand(3) for value in (1 / (255 * deviation), -centre / deviation, fill)]).detach()


def _channel_values(name: str, values: ChannelValues, like: Tensor) -> Tensor:
    if not isinstance(values, Tensor):
        _require_values(name, values, len(like))
        return filled(values, like.device, like.dtype)
    if values.shape != like.shape:
        raise ValueError(f"{name} must be {len(like)} values, one for each channel, got shape {list(values.shape)}")
    return values.to(like)


def _require_values(name: str, values: Sequence[float], channels: int) -> None:
    if not hasattr(values, "__len__"):
        raise TypeError(f"{name} must be {channels} values, one for each channel, got {values!r}")
    if len(values) != channels:
        raise ValueError(f"{name} must be {channels} values, one for each channel, got {len(values)}")


def filled(values: Sequence[float], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Numbers as a tensor, written by the device: the host would wait for a copy, and no CUDA graph may hold one.

    Nothing is kept for the next call, which may be in another mode: tracing, inference, a transform of `torch.func`.
    """
    return torch.stack([torch.full((), float(value), dtype=dtype, device=device) for value in values])
