"""Weight initialisation."""

from torch import nn


def initialise_convolutions(model: nn.Module) -> None:
    """Draw the weights of all convolutions as He et al. (2015) do, by the number of outputs; biases become 0."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def initialise_classifier(layer: nn.Linear) -> None:
    """Draw the weights of a last layer with standard deviation 0.01 (Simonyan and Zisserman, 2015); biases become 0."""
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
