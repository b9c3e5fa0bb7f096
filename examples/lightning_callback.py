"""TST as a callback of PyTorch Lightning: a small network learns scikit-learn's digits from a larger one.

python examples/lightning_callback.py
"""

from collections.abc import Callable, Collection
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from tst_fast import TST
from tst_fast.models.build import build_model
from tst_pipelines import CachedLoader, PadAndCrop, Share, digits

MEAN, STD = (0.305, 0.305, 0.305), (0.376, 0.376, 0.376)


class Classifier(lightning.LightningModule):
    """A network of images, uint8 [B, H, W, 3], that learns from their labels, or by whatever `loss` is put in place."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.loss: Callable[[Tensor, Tensor], Tensor] = lambda images, labels: cross_entropy(self(images), labels)

    def forward(self, images: Tensor) -> Tensor:
        values = images.permute(0, 3, 1, 2) / 255
        return self.network((values - values.new_tensor(MEAN).view(3, 1, 1)) / values.new_tensor(STD).view(3, 1, 1))

    def training_step(self, batch: list[Tensor]) -> Tensor:
        return self.loss(*batch)

    def validation_step(self, batch: list[Tensor]) -> None:
        images, labels = batch
        self.log("accuracy", (self(images).argmax(1) == labels).float().mean(), prog_bar=True)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class TeachWhatYouShouldTeach(lightning.Callback):
    """Lets a module's `network` learn by `TST.loss`, and the policy on the batches of some epochs.

    Args:
        teacher: trained; takes what `network` takes.
        search_at: epochs in which each batch is also a step of the policy.
        settings: of `TST`.
    """

    tst: TST

    def __init__(self, teacher: nn.Module, search_at: Collection[int], **settings: Any) -> None:
        self.teacher, self.search_at, self.settings = teacher, search_at, settings
        self._state: dict[str, Any] | None = None

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """The networks are on their device now."""
        assert isinstance(pl_module, Classifier)
        self.tst = TST(self.teacher.to(pl_module.device), pl_module.network, **self.settings)
        if self._state is not None:
            self.tst.load_state_dict(self._state)
        pl_module.loss = self.tst.loss

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """As in the paper, each search begins without momentum."""
        if trainer.current_epoch in self.search_at and trainer.current_epoch - 1 not in self.search_at:
            self.tst.begin_search()

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: list[Tensor], batch_idx: int
    ) -> None:
        """A step of the policy, on the batch that the student learns from next, in the trainer's precision."""
        if trainer.current_epoch in self.search_at:
            with trainer.precision_plugin.forward_context():
                found = self.tst.search(*batch)
            pl_module.log_dict({f"search/{name}": value for name, value in found.items()})

    def state_dict(self) -> dict[str, Any]:
        """Goes into Lightning's checkpoints."""
        return self.tst.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Comes before `on_fit_start`."""
        self._state = state_dict


def loaders(batch: int = 64) -> tuple[DataLoader, DataLoader]:
    """Training and test images with their labels."""
    found = []
    for split in digits():
        loader = CachedLoader(split, PadAndCrop(32, 0, flip=0.0), len(split), Share(training=False, seed=0))
        whole = next(iter(loader))
        found.append(TensorDataset(whole.images, whole.labels))
    return DataLoader(found[0], batch, shuffle=True, drop_last=True), DataLoader(found[1], 1000)


def fit(network: nn.Module, epochs: int, callbacks: list[lightning.Callback]) -> float:
    """Train a network; its accuracy on test images, 0..1."""
    shown: dict[str, Any] = {"logger": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = lightning.Trainer(max_epochs=epochs, callbacks=callbacks, **shown)
    trainer.fit(Classifier(network), *loaders())
    return trainer.callback_metrics["accuracy"].item()


def main() -> None:
    """Teacher, student, and what was learned."""
    lightning.seed_everything(0)
    teacher, student = (build_model("convnet", 10, {"channels": [w, 2 * w, 4 * w]}) for w in (24, 4))
    print(f"teacher: {100 * fit(teacher, 30, []):.1f} %")
    callback = TeachWhatYouShouldTeach(teacher, {5, 15}, mean=MEAN, std=STD, learning_rate=0.05)
    print(f"student: {100 * fit(student, 30, [callback]):.1f} %")
    print({row.operation: round(row.probability, 2) for row in callback.tst.policy.learned()})


if __name__ == "__main__":
    main()
