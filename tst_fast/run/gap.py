"""Whether a search did what it is for: on images that nothing was trained on, is the teacher surer than the student?"""

import copy
import dataclasses

import torch
from accelerate import Accelerator
from torch import nn

from tst_fast.losses.search import confidence
from tst_fast.models.frozen import frozen
from tst_fast.policy.augmenter import Augmenter
from tst_fast.run.seeding import reseed
from tst_pipelines import Loader


def confidence_gaps(
    augmenter: Augmenter,
    teacher: nn.Module,
    student: nn.Module,
    loader: Loader,
    accelerator: Accelerator,
    seed: int,
) -> dict[str, dict[str, float]]:
    """`confidences` with the policy, "trained", and with one that has learned nothing, "untrained".

    Both see the same random numbers, and each image has a draw of its own, also where the policy's are shared by the
    batch: the mean is the same, with far less noise.
    """
    policy = copy.deepcopy(augmenter.policy)
    policy.shared_draw = False
    augmenter = dataclasses.replace(augmenter, policy=policy)
    found = {}
    for name, each in (("trained", augmenter), ("untrained", untrained(augmenter))):
        reseed(seed, 5, accelerator.process_index)
        found[name] = confidences(each, teacher, student, loader, accelerator)
    return found


def untrained(augmenter: Augmenter) -> Augmenter:
    """The same with a policy that has learned nothing."""
    policy = copy.deepcopy(augmenter.policy)
    policy.reset()
    return dataclasses.replace(augmenter, policy=policy)


@torch.no_grad()
def confidences(
    augmenter: Augmenter, teacher: nn.Module, student: nn.Module, loader: Loader, accelerator: Accelerator
) -> dict[str, float]:
    """Mean probability of the true class on augmented images, over all ranks.

    Args:
        augmenter: draws from torch's global generator: after the same seed, two policies are drawn from alike.
        teacher: unwrapped, on the device.
        student: unwrapped, on the device.
        loader: gives each image once, with its class.
        accelerator: for autocast and the sum over ranks.

    Returns:
        The teacher's, the student's, and the gap: the first minus the second.
    """
    sums = torch.zeros(3, dtype=torch.float64, device=accelerator.device)  # teacher, student, images
    with frozen(teacher, student):
        for batch in loader:
            if not len(batch):
                continue
            images = augmenter(batch.images)
            with accelerator.autocast():
                logits = [network(images).float() for network in (teacher, student)]
            means = [confidence(each, batch.labels).double() * len(batch) for each in logits]
            sums += torch.stack([*means, sums.new_tensor(len(batch))])
    of_teacher, of_student, images = accelerator.reduce(sums, "sum").tolist()
    values = {"teacher": of_teacher / images, "student": of_student / images}
    return {**values, "gap": values["teacher"] - values["student"]}
