"""Networks by name."""

from typing import Any

import torchvision
from torch import nn

from tst_fast.config.imports import is_import_path, load_object
from tst_fast.errors import UserError, in_short, nearest
from tst_fast.models import cifar
from tst_fast.models.published import fresh_of_timm, out_of_reach, published_classifier

SOURCES = ("cifar", "torchvision", "timm")
"""Where a plain name is looked for, in this order; SOURCE/NAME takes it from that source alone."""


def build_model(
    name: str, num_classes: int, arguments: dict[str, Any], pretrained: bool = False, new_head: bool = False
) -> nn.Module:
    """A network with fresh weights from torch's global generator, or with published ones.

    Args:
        name: one of ours for small images (`cifar.MODELS`), of torchvision's or of timm's, the first that has it;
            `timm/resnet50` means timm's, whoever else has one. `my.module:Net` is the user's own, called with the
            number of classes as `num_classes` and with `arguments`.
        num_classes: outputs.
        arguments: further arguments of its constructor.
        pretrained: with the weights that torchvision or timm publish, downloaded on first use.
        new_head: draw the last layer of such a network where its weights are for another number of classes.

    Raises:
        UserError: an unknown name (with the nearest known one), arguments that it does not take, or no published
            weights for it, for this number of classes, or within reach.
    """
    if is_import_path(name):
        return own_model(name, num_classes, arguments, pretrained)
    source, plain = find_model(name)
    try:
        if source == "cifar":
            if pretrained:
                raise UserError(f"there are no pretrained weights of {name}: give its checkpoint instead")
            return cifar.MODELS[plain](num_classes=num_classes, **arguments)
        if pretrained:
            return published_classifier(source, plain, num_classes, arguments, new_head)
        if source == "torchvision":
            return torchvision.models.get_model(plain, weights=None, num_classes=num_classes, **arguments)
        return fresh_of_timm(plain, num_classes, arguments)
    except TypeError as error:
        raise UserError(f"model {name} does not take the arguments {arguments}: {error}") from None
    except OSError as error:  # of weights that the arguments ask for
        raise out_of_reach(name, error) from None
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(f"model {name} cannot be made with the arguments {arguments} ({in_short(error)})") from None


def own_model(name: str, num_classes: int, arguments: dict[str, Any], pretrained: bool) -> nn.Module:
    """A network of the user's own; arguments, and what is raised, as for `build_model`."""
    if pretrained:
        raise UserError(f"{name} is your own, and nobody publishes weights of it: give its checkpoint instead")
    make = load_object(name, "student.name or --teacher.name")
    try:
        network = make(num_classes=num_classes, **arguments)
    except TypeError as error:
        raise UserError(f"model {name} does not take the arguments {arguments}: {error}") from None
    except Exception as error:  # whatever the user's code raises
        raise UserError(f"model {name} cannot be made with the arguments {arguments} ({in_short(error)})") from error
    if not isinstance(network, nn.Module):
        raise UserError(f"model {name} must give a torch.nn.Module, got {type(network).__name__}")
    return network


def find_model(name: str) -> tuple[str, str]:
    """The source of a model, one of `SOURCES`, and its name there.

    Raises:
        UserError: an unknown name, with the nearest known one.
    """
    chosen, _, plain = name.rpartition("/")
    if chosen and chosen not in SOURCES:
        raise UserError(
            f"model {name!r}: there is no source {chosen!r}{nearest(chosen, SOURCES)} Sources are {', '.join(SOURCES)}."
        )
    every: list[str] = []
    for source in (chosen,) if chosen else SOURCES:
        known = _names(source)
        if plain.partition(".")[0] in known:  # what follows a dot is timm's name for a set of weights
            return source, plain
        every += [f"{source}/{known_name}" if chosen else known_name for known_name in known]
    raise UserError(
        f"there is no model {name!r}{nearest(name, every)} Known are {', '.join(cifar.MODELS)}, and the models of "
        "torchvision and timm."
    )


def _names(source: str) -> list[str]:
    if source == "cifar":
        return list(cifar.MODELS)
    if source == "torchvision":
        return torchvision.models.list_models(torchvision.models)
    import timm  # only where it is needed: it takes seconds to import

    return timm.list_models()
