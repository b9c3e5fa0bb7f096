"""What a run can be told of its policy, as typed values."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tst_fast.config.operations import PAPER_OPERATIONS
from tst_fast.config.ranges import (
    BelowOne,
    BetweenZeroAndOne,
    Count,
    Epochs,
    NonNegative,
    Positive,
    PositiveShare,
    Range,
    Share,
)


@dataclass
class PolicyConfig:
    """The learned augmentation, and when it is learned (TST, section 3).

    Args:
        operations: names of the operations to choose from.
        operations_per_image: number of distinct operations drawn for each image.
        shared_draw: whether all images of a batch share one draw of operations, as in the paper's code; else each has
            its own.
        temperature: temperature of the relaxed Bernoulli gates.
        gates: gates in the search: relaxed (as in the student's training, and in the paper), or straight_through (0 or
            1, with straight-through gradients to the probabilities and separate operations for each image: a gradient
            with far less noise).
        student_weight: weight of the student's term in the search objective, against 1 for the teacher's; 1 in the
            paper. Above 1, the search prefers what the student does not know; below, what the teacher knows.
        budget: hold the teacher's loss on augmented images at this multiple of its loss under the untrained policy, by
            adapting the weight of its term: the search then chooses which images, not how easy ones. Null: weight 1, as
            in the paper.
        sign: sign of magnitudes that have a direction: random (drawn for each image) or learned.
        composition: how the operations of an image are combined: additive (the sum of their changes, as in the paper)
            or sequential (one after the other).
        cutout: with label maps: labels of the pixels that Cutout erases: ignore (they no longer count) or keep.
        box_rule: with boxes: how to bound a rotated or sheared box: ellipse (around its inscribed ellipse, closer to
            most objects) or hull (around all of it).
        visible: with boxes: least share of an object's box that must be inside the image and not erased by Cutout for
            the object to count.
        quality_weight: with boxes: weight of localisation against classification in an object's score in the search,
            0..1.
        prior: what computes an operation that has a level: exact (the operation itself) or encoder (the paper's small
            networks, trained to imitate it first).
        encoder_steps: for prior encoder: training steps of each network.
        search: when to train the policy: listed (before the epochs in `search_at`), interleaved (a few steps at a time,
            throughout training) or none.
        search_at: for listed: student epochs before which the policy is trained; empty: never. Or auto: after the
            epochs in which the student's mean confidence on its training images first exceeds each of
            `search_confidences`.
        search_confidences: for search_at auto: confidences between 0 and 1, in ascending order.
        search_epochs: for listed: passes over the training images in each search.
        search_fraction: for listed: share of the training images in each of these passes, above 0 to 1.
        search_every: for interleaved: student steps from one group of policy steps to the next.
        search_steps: for interleaved: policy steps in a group; each uses the batch that the student learns from next.
        search_window: for interleaved: policy steps over which the plateau rule averages the loss; in a listed search,
            it is a pass.
        learning_rate: learning rate of the policy's SGD at the start of each search.
        momentum: momentum of the policy's SGD.
        clip_norm: maximum gradient norm of the policy; null: no clipping.
        accumulate: number of parts that each batch of the search is split into, to save memory; each has its own draw.
        objective: confidence (what the teacher is confident of and the student is not) or cross_entropy (the teacher's
            minus the student's).
        init: initial policy: a policy.json, or a run's folder that contains one; or random: probabilities and levels
            drawn at random, by the seed.
        compile: run the augmentation on a CPU through torch.compile; worth it in long runs on large images.
    """

    operations: list[str] = field(default_factory=lambda: list(PAPER_OPERATIONS))
    operations_per_image: Count = 4
    shared_draw: bool = False
    temperature: Positive = 0.05
    gates: Literal["relaxed", "straight_through"] = "straight_through"
    student_weight: Positive = 1.0
    budget: Annotated[float, Range(0, 100, above=True)] | None = None
    sign: Literal["random", "learned"] = "random"
    composition: Literal["additive", "sequential"] = "additive"
    cutout: Literal["ignore", "keep"] = "ignore"
    box_rule: Literal["ellipse", "hull"] = "ellipse"
    visible: Share = 0.25
    quality_weight: Share = 0.5
    prior: Literal["exact", "encoder"] = "exact"
    encoder_steps: Count = 3000
    search: Literal["listed", "interleaved", "none"] = "listed"
    search_at: list[Epochs] | Literal["auto"] = field(default_factory=list)
    search_confidences: list[BetweenZeroAndOne] = field(default_factory=lambda: [0.6, 0.8])
    search_epochs: Annotated[int, Range(1, 10**6)] = 1
    search_fraction: PositiveShare = 1.0
    search_every: Count = 20
    search_steps: Count = 1
    search_window: Count = 100
    learning_rate: NonNegative = 0.01
    momentum: BelowOne = 0.9
    clip_norm: Positive | None = None
    accumulate: Count = 1
    objective: Literal["confidence", "cross_entropy"] = "confidence"
    init: Path | Literal["random"] | None = None
    compile: bool = False
