"""Freezing networks for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen(*models: nn.Module) -> Iterator[None]:
    """Within: eval mode, so that batch-norm statistics stay, and no gradient for the weights; after: as before."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    required = [(parameter, parameter.requires_grad) for model in models for parameter in model.parameters()]
    for model in models:
        model.eval().requires_grad_(False)
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, value in required:
            parameter.requires_grad_(value)
