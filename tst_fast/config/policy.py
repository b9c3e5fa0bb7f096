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
    """The augmentation that is learned, and when (TST, section 3).

    Args:
        operations: names of the operations to choose from.
        operations_per_image: how many distinct operations are drawn for an image.
        shared_draw: whether the images of a batch share the draw of operations, as in the paper's code; else each has
            a draw of its own.
        temperature: of the relaxed Bernoulli gates.
        gates: of the draws that the policy learns from: relaxed (as those that the student learns from; the paper's),
            or straight_through (0 or 1, the derivative by the probability taken to be 1, and a draw for each image:
            a gradient with far less noise).
        student_weight: of the student's term of the search's objective; the teacher's has 1, and so has the student's
            in the paper. Above 1 the search looks more for what the student does not know, below for what the teacher
            knows.
        budget: how hard augmented images may be for the teacher: the search holds its loss on them at this many times
            what it is under a policy that has learned nothing, by the weight of its term, and so chooses which images
            rather than how easy ones. Null: its term has weight 1, as in the paper.
        sign: of operations with a direction: random (drawn for each image), or learned.
        composition: of the operations drawn for an image: additive (the sum of what each changes, as in the paper), or
            sequential (one after the other).
        cutout: with label maps: what Cutout does to the labels of the pixels that it erases: ignore (they no longer
            count), or keep.
        box_rule: with boxes: what becomes of a box that is turned or sheared: ellipse (around the ellipse inscribed in
            it, nearer to most objects), or hull (around all of it).
        visible: with boxes: an object counts while at least this share of its box is in the picture, and not under what
            Cutout erases.
        quality_weight: with boxes: of the place, against the class, in an object's score in the search, from 0 to 1.
        prior: what applies an operation with a level: exact (the operation), or encoder (the paper's small networks,
            aligned to it first).
        encoder_steps: for prior encoder: steps of the alignment of each network.
        search: when the policy is trained: listed (before the epochs in `search_at`), interleaved (a few steps at a
            time, all along), or none.
        search_at: for listed: student epochs before which the policy is trained; empty leaves it untrained. Or auto:
            after the epochs in which the student's mean confidence on its training images first passes each of
            `search_confidences`.
        search_confidences: for search_at auto: from low to high, between 0 and 1.
        search_epochs: for listed: passes over the training images in each of these searches.
        search_fraction: for listed: share of the training images in each of these passes, above 0 to 1.
        search_every: for interleaved: the student's steps from one group of the policy's steps to the next.
        search_steps: for interleaved: steps in such a group; each is on the batch that the student is about to learn
            from.
        search_window: for interleaved: steps of the policy over which the plateau rule averages the loss. In a listed
            search it is a pass.
        learning_rate: of the policy's SGD, at the start of each search.
        momentum: of the policy's SGD.
        clip_norm: the gradient's norm is cut to this; null leaves it.
        accumulate: parts in which each batch of the search is taken, to save memory; each has a draw of its own.
        objective: confidence (what the teacher is sure of and the student is not), or cross_entropy (the teacher's
            minus the student's).
        init: a policy.json to start from, or a run's folder, for the one in it; or random: probabilities and levels
            drawn at random, by the seed.
        compile: run the augmentation on CPUs through torch.compile: pays off in long runs on large images.
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
