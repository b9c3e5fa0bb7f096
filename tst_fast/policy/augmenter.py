"""Augmentation by a policy's draw; search and distillation share it, so that the two never differ.

Additive, as in the paper: x + sum_k g_k (T_k(x) - x); the sum is not clamped. Sequential: x <- x + g_k (T_k(x) - x)
for one operation after the other, in the order of the draw. There nothing need be clamped: with a gate in 0..1 each
step lies between an image in 0..1 and another.

Where targets have places in the image, superimposed warps would leave ghosts. There warps are left out of the mix: all
of a draw become one affine map, and the mixed image is resampled once, the mean colour beyond its border.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tst_fast.config.data import DataConfig
from tst_fast.config.policy import PolicyConfig
from tst_fast.policy.encoders import Encoders
from tst_fast.policy.policy import Policy
from tst_kernels import OPERATIONS, Draw, box_mask, compose, erased, mix, normalise, warp

NAMES = list(OPERATIONS)


@dataclass(frozen=True, eq=False)
class Geometry:
    """What a draw does to places.

    Attributes:
        theta: floating [B, 2, 3], output to input, in the normalised coordinates of `affine_grid`.
        erased: floating [B, 4], x1 y1 x2 y2 in pixels of the image before it is warped: what Cutout erased.
        size: height and width of the images, in pixels.
    """

    theta: Tensor
    erased: Tensor
    size: tuple[int, int]


class Augmented(NamedTuple):
    """Images, and where they have moved.

    Attributes:
        images: floating [B, 3, H, W], normalised by mean and std.
        geometry: differentiable in the draw; None where warps were superimposed, and no place has moved as a whole.
    """

    images: Tensor
    geometry: Geometry | None


@dataclass(frozen=True)
class Augmenter:
    """Draws from a policy and applies the draw.

    Attributes:
        policy: on the device of the images.
        config: composition, and whether to compile.
        data: mean and std.
        encoders: what stands for the operations in it; None applies each operation itself.
        composed: whether the warps of a draw are one affine map an image, as targets with places need; without
            encoders.
    """

    policy: Policy
    config: PolicyConfig
    data: DataConfig
    encoders: Encoders | None = None
    composed: bool = False

    def __call__(self, images: Tensor, sizes: Tensor | None = None, **form: Any) -> Augmented:
        """Augment by a new draw: arguments and result as `apply`."""
        return self.apply(images, self.policy.draw(len(images)), sizes, **form)

    def apply(self, images: Tensor, draw: Draw, sizes: Tensor | None = None, **form: Any) -> Augmented:
        """Augment by a given draw.

        Args:
            images: uint8 [B, H, W, 3], or anything that `tst_kernels.mix` takes.
            draw: on their device; gradients reach its levels and gates, also through encoders.
            sizes: int32 [B, 2], height and width of the pictures in them, where warps are composed; None: all of it.
            form: dtype and memory_format of the result, or out, which it is written to, as of `tst_kernels.mix`.
        """
        if not self.composed:
            return Augmented(self._mixed(images, draw, form), None)
        mixed = self._mixed(images, draw, {}, geometry=False, sizes=sizes)
        height, width = mixed.shape[2:]
        theta = compose(draw, height, width, sizes)
        gone = erased(draw, height, width, sizes)
        warped = _blank(warp(_blank(mixed, sizes), theta), sizes)
        return Augmented(_formed(warped, **form), Geometry(theta, gone, (height, width)))

    def _mixed(self, images: Tensor, draw: Draw, form: dict[str, Any], **moving: Any) -> Tensor:
        """The mix of a draw, normalised; `moving` are `geometry` and `sizes` of `tst_kernels.mix`."""
        sequential = self.config.composition == "sequential"
        if self.encoders is None and not sequential:
            return mix(images, draw, self.data.mean, self.data.std, compile=self.config.compile, **form, **moving)
        original = total = normalise(images)
        for one in _slots(draw):
            if self.encoders is None:
                total = self._exact(total, one, **moving)
            else:
                total = total + self._encoded(total if sequential else original, one, self.encoders)
        return normalise(total, self.data.mean, self.data.std, **form)

    def _exact(self, images: Tensor, one: Draw, **moving: Any) -> Tensor:
        """x + g (T(x) - x), in 0..1: the mean is what Cutout fills with, so it is subtracted and added again."""
        mean = self.data.mean
        return normalise(mix(images, one, mean, compile=self.config.compile, **moving), [-value for value in mean])

    def _encoded(self, images: Tensor, one: Draw, encoders: Encoders) -> Tensor:
        """g (T(x) - x) where encoders stand for the operations that they are aligned to."""
        codes = one.operations[:, 0].tolist()
        change = torch.zeros_like(images)
        for code in sorted(set(codes)):
            rows = torch.tensor([i for i, other in enumerate(codes) if other == code], device=images.device)
            some, x = _rows(one, rows), images[rows]
            if NAMES[code] in encoders:
                part = some.gates[..., None, None] * (encoders[NAMES[code]](x, some.levels[:, 0]) - x)
            else:
                part = self._exact(x, some) - x
            change = change.index_copy(0, rows, part)
        return change


def _formed(
    images: Tensor,
    dtype: torch.dtype | None = None,
    memory_format: torch.memory_format = torch.contiguous_format,
    out: Tensor | None = None,
) -> Tensor:
    return images.to(dtype or images.dtype, memory_format=memory_format) if out is None else out.copy_(images)


def _blank(images: Tensor, sizes: Tensor | None) -> Tensor:
    """Images [B, 3, H, W], the mean colour beside pictures of these sizes, int32 [B, 2], at their top left."""
    if sizes is None:
        return images
    corners = torch.cat([torch.zeros_like(sizes), sizes.flip(1)], dim=1).to(images.dtype)
    return images * box_mask(corners, *images.shape[2:])[:, None]


def _slots(draw: Draw) -> Iterator[Draw]:
    """A draw of one operation an image for each slot."""
    for slot in range(draw.operations.shape[1]):
        here = slice(slot, slot + 1)
        yield Draw(draw.operations[:, here], draw.levels[:, here], draw.gates[:, here], draw.centres)


def _rows(draw: Draw, rows: Tensor) -> Draw:
    """The draw of some of the images."""
    centres = None if draw.centres is None else draw.centres[rows]
    return Draw(draw.operations[rows], draw.levels[rows], draw.gates[rows], centres)
