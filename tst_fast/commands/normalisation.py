"""The doctor's verdict on how images are normalised: by what each network sees of them, and what it should."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tst_fast.config.schema import Config
from tst_fast.errors import Finding, State
from tst_fast.models.normalised import published_normalisation
from tst_fast.run.session import own_normalisation
from tst_fast.tasks.task import Role
from tst_pipelines import Loader

ORDER: tuple[State, ...] = ("good", "doubtful", "wrong")
Limits = tuple[tuple[float, float], tuple[float, float]]
"""Up to where it is good, and from where wrong: of the channels' means, in deviations from 0, and of the factor that
their standard deviations are from 1."""

WITH_WEIGHTS: Limits = (0.25, 1.4), (1.0, 4.0)
"""Of a network whose weights saw nobody knows what: probably images much like these."""
FROM_SCRATCH: Limits = (1.0, 2.5), (5.0, 10.0)
"""Of one that learns here, to which the scale alone matters."""


def examine_normalisation(config: Config, sample: Loader) -> Finding:
    """What the networks of a run see of the test images, and whether they should; the worst of the verdicts.

    Args:
        config: of the run.
        sample: test images.
    """
    mean, std = pixel_statistics(sample)
    roles: list[Role] = ["teacher", "student"] if config.distillation.teacher else ["student"]
    verdicts = [_verdict(config, role, mean, std) for role in roles]
    state = ORDER[max(ORDER.index(state) for state, _ in verdicts)]
    found = f"images: mean {numbers(mean)}, std {numbers(std)}; " + "; ".join(told for _, told in verdicts)
    remedy = (
        ""
        if state == "good"
        else "set --data.mean and --data.std to the images', and --teacher.mean and "
        "--teacher.std to what its weights were trained with"
    )
    return Finding("normalisation", state, found, remedy)


def pixel_statistics(sample: Loader) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel over all pixels, in 0..1: float64 [3] each."""
    sums, pixels = torch.zeros(2, 3, dtype=torch.float64), 0
    for batch in sample:
        values = batch.images[..., :3].cpu().double().flatten(0, 2) / 255
        sums += torch.stack([values.sum(0), values.square().sum(0)])
        pixels += len(values)
    mean = sums[0] / pixels
    return mean, (sums[1] / pixels - mean.square()).clamp(min=0).sqrt()


def numbers(values: Sequence[float] | Tensor) -> str:
    """Three digits of each."""
    return " ".join(f"{float(value):.3f}" for value in values)


def _verdict(config: Config, role: Role, mean: Tensor, std: Tensor) -> tuple[State, str]:
    """Of one network, and what it sees."""
    chosen, own = getattr(config, role), own_normalisation(config, role)
    centre, spread = torch.tensor(own.mean, dtype=torch.float64), torch.tensor(own.std, dtype=torch.float64)
    means, factors = (mean - centre) / spread, std / spread
    told = f"the {role} sees mean {numbers(means)}, std {numbers(factors)}{', BGR' if own.bgr else ''}"
    has_weights = chosen.checkpoint is not None or chosen.pretrained
    stated = chosen.mean is not None and chosen.std is not None
    if has_weights and (stated or chosen.pretrained or published_normalisation(chosen.name) == own):
        return "good", f"{told}, as its weights were trained"
    far = means.abs().max().item(), factors.clamp(min=1e-9).log().abs().max().exp().item()
    good, wrong = WITH_WEIGHTS if has_weights else FROM_SCRATCH
    if any(value > limit for value, limit in zip(far, wrong, strict=True)):
        return "wrong", told
    return ("good" if all(value <= limit for value, limit in zip(far, good, strict=True)) else "doubtful"), told
