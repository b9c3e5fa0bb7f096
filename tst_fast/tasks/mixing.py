"""Mixup, cutmix and label smoothing of a batch, before anything learns from it."""

import dataclasses

from tst_fast.config.schema import TrainingConfig
from tst_fast.errors import UserError
from tst_pipelines import Batch


class Mixing:
    """Mixes the images and labels of a batch as `config` asks; timm's, one draw for the batch.

    The batch is mixed before the policy augments it, so that the plain images, the augmented ones and the policy's
    search share pixels and soft labels. Random numbers come from NumPy's global generator, which each step reseeds.

    Args:
        config: strengths of mixup, cutmix and label smoothing.
        classes: number of classes.
        batch_size: images of a batch on this rank.

    Raises:
        UserError: images are to be mixed in pairs, and their number is odd.
    """

    def __init__(self, config: TrainingConfig, classes: int, batch_size: int) -> None:
        self.smoothing, self.classes = config.label_smoothing, classes
        self.mix = None
        if config.mixup or config.cutmix:
            if batch_size % 2:
                raise UserError(
                    f"images of each process must be even in number for mixup and cutmix, got {batch_size}: make "
                    "--data.batch_size a multiple of twice the number of processes"
                )
            from timm.data.mixup import Mixup  # timm takes a second to import, so only where it is asked for

            self.mix = Mixup(config.mixup, config.cutmix, label_smoothing=self.smoothing, num_classes=classes)

    def __call__(self, batch: Batch) -> Batch:
        """The same batch if nothing is asked for; else soft labels [B, classes] and, if mixed, float images 0..1."""
        if self.mix is None and not self.smoothing:
            return batch
        if self.mix is None:
            from timm.data.mixup import mixup_target

            return dataclasses.replace(batch, labels=mixup_target(batch.labels, self.classes, 1.0, self.smoothing))
        pixels = batch.images[..., :3].permute(0, 3, 1, 2).float().div_(255)  # a copy: timm mixes in place
        images, labels = self.mix(pixels, batch.labels)
        return dataclasses.replace(batch, images=images, labels=labels)
