"""What a policy's draw makes of images; search and distillation share it, so that the two never differ.

Additive, as in the paper: x + sum_k g_k (T_k(x) - x); the sum is not clamped. Sequential: x <- x + g_k (T_k(x) - x)
for one operation after the other, in the order of the draw. There nothing need be clamped: with a gate in 0..1 each
step lies between an image in 0..1 and another.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from tst_fast.config.schema import DataConfig, PolicyConfig
from tst_fast.policy.encoders import Encoders
from tst_fast.policy.policy import Policy
from tst_kernels import OPERATIONS, Draw, mix, normalise

NAMES = list(OPERATIONS)


@dataclass(frozen=True)
class Augmenter:
    """Draws from a policy and applies the draw.

    Attributes:
        policy: on the device of the images.
        config: composition, and whether to compile.
        data: mean and std.
        encoders: what stands for the operations in it; None applies each operation itself.
    """

    policy: Policy
    config: PolicyConfig
    data: DataConfig
    encoders: Encoders | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """Augment by a new draw: arguments and result as `apply`."""
        return self.apply(images, self.policy.draw(len(images)))

    def apply(self, images: Tensor, draw: Draw) -> Tensor:
        """Augment by a given draw.

        Args:
            images: uint8 [B, H, W, 3], or anything that `tst_kernels.mix` takes.
            draw: on their device; gradients reach its levels and gates, also through encoders.

        Returns:
            float [B, 3, H, W], normalised by mean and std.
        """
        sequential = self.config.composition == "sequential"
        if self.encoders is None and not sequential:
            return mix(images, draw, self.data.mean, self.data.std, compile=self.config.compile)
        original = total = normalise(images)
        for one in _slots(draw):
            if self.encoders is None:
                total = self._exact(total, one)
            else:
                total = total + self._change(total if sequential else original, one)
        return normalise(total, self.data.mean, self.data.std)

    def _exact(self, images: Tensor, one: Draw) -> Tensor:
        """x + g (T(x) - x), in 0..1: the mean is what Cutout fills with, so it is subtracted and added again."""
        mean = self.data.mean
        return normalise(mix(images, one, mean, compile=self.config.compile), [-value for value in mean])

    def _change(self, images: Tensor, one: Draw) -> Tensor:
        """g (T(x) - x) where encoders stand for the operations that they are aligned to."""
        codes = one.operations[:, 0].tolist()
        change = torch.zeros_like(images)
        for code in sorted(set(codes)):
            rows = torch.tensor([i for i, other in enumerate(codes) if other == code], device=images.device)
            some, x = _rows(one, rows), images[rows]
            if NAMES[code] in self.encoders:
                part = some.gates[..., None, None] * (self.encoders[NAMES[code]](x, some.levels[:, 0]) - x)
            else:
                part = self._exact(x, some) - x
            change = change.index_copy(0, rows, part)
        return change


def _slots(draw: Draw) -> Iterator[Draw]:
    """A draw of one operation an image for each slot."""
    for slot in range(draw.operations.shape[1]):
        here = slice(slot, slot + 1)
        yield Draw(draw.operations[:, here], draw.levels[:, here], draw.gates[:, here], draw.centres)


def _rows(draw: Draw, rows: Tensor) -> Draw:
    """The draw of some of the images."""
    fields = {field.name: getattr(draw, field.name) for field in dataclasses.fields(draw)}
    return Draw(**{name: None if value is None else value[rows] for name, value in fields.items()})
