"""The gap between teacher and student on held-out images: whether a search did what it is for."""

import copy
import dataclasses

import torch

from tst_fast.losses.search import confidence
from tst_fast.models.frozen import frozen
from tst_fast.policy.augmenter import Augmenter
from tst_fast.ranks import over_ranks
from tst_fast.run.seeding import Stream, reseed
from tst_fast.run.session import Session


def held_out_gaps(session: Session) -> dict[str, dict[str, float]]:
    """`confidences` with the policy, "trained", and with one that has learned nothing, "untrained".

    Both see the same random numbers, and each image has a draw of its own, also where the policy's are shared by the
    batch: the mean is the same, with far less noise.
    """
    found = {}
    for name, augmenter in both_policies(session.augmenter).items():
        reseed(session.config.seed, Stream.HELD_OUT_GAP, session.accelerator.process_index)
        found[name] = confidences(session, augmenter)
    return found


def both_policies(augmenter: Augmenter) -> dict[str, Augmenter]:
    """The same, "trained", and with a policy that has learned nothing, "untrained"; each image has its own draw."""
    policy = copy.deepcopy(augmenter.policy)
    policy.shared_draw = False
    trained = dataclasses.replace(augmenter, policy=policy)
    return {"trained": trained, "untrained": untrained(trained)}


def untrained(augmenter: Augmenter) -> Augmenter:
    """The same with a policy that has learned nothing."""
    policy = copy.deepcopy(augmenter.policy)
    policy.reset()
    return dataclasses.replace(augmenter, policy=policy)


@torch.no_grad()
def confidences(session: Session, augmenter: Augmenter) -> dict[str, float]:
    """Mean probability of the true class on augmented test images, over all ranks.

    Args:
        session: its networks, test images and task.
        augmenter: draws from torch's global generator: after the same seed, two policies are drawn from alike.

    Returns:
        The teacher's, the student's, and the gap: the first minus the second. Where nothing counts, all are 0.
    """
    sums = torch.zeros(3, dtype=torch.float64, device=session.accelerator.device)  # teacher, student, images
    networks = session.require_teacher(), session.student
    with frozen(*networks):
        for batch in session.test_loader:
            if not len(batch):
                continue
            images, geometry = augmenter(batch.images, batch.sizes)
            asked = session.task.decisions(batch.targets, geometry)
            with session.accelerator.autocast():
                outputs = [session.task.predict(network, images) for network in networks]
            answers = [session.task.answers(output, asked) for output in outputs]
            means = [confidence(each, asked.labels, asked.weights).double() for each in answers]
            share = sums.new_tensor(1.0) if asked.weights is None else asked.weights.double().sum()
            sums += len(batch) * torch.stack([*means, share])
    of_teacher, of_student, images = over_ranks(session.accelerator, sums, "sum").tolist()
    images = images or 1.0  # nothing counted: both sums are 0
    values = {"teacher": of_teacher / images, "student": of_student / images}
    return {**values, "gap": values["teacher"] - values["student"]}
