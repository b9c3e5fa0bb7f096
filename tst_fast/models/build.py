"""Networks by name."""

from typing import Any

import torchvision
from torch import nn

from tst_fast.errors import UserError, nearest
from tst_fast.models import cifar

SOURCES = ("cifar", "torchvision", "timm")
"""Where a plain name is looked for, in this order; SOURCE/NAME takes it from that source alone."""


def build_model(name: str, num_classes: int, arguments: dict[str, Any], pretrained: bool = False) -> nn.Module:
    """A network with fresh weights from torch's global generator, or with published ones.

    Args:
        name: one of ours for small images (`cifar.MODELS`), of torchvision's or of timm's, the first that has it;
            `timm/resnet50` means timm's, whoever else has one.
        num_classes: outputs.
        arguments: further arguments of its constructor.
        pretrained: with the weights that torchvision or timm publish, downloaded on first use.

    Raises:
        UserError: an unknown name (with the nearest known one), arguments that it does not take, or no published
            weights for it, for this number of classes, or within reach.
    """
    source, plain = find_model(name)
    try:
        if source == "cifar":
            if pretrained:
                raise UserError(f"there are no pretrained weights of {name}: give its checkpoint instead")
            return cifar.MODELS[plain](num_classes=num_classes, **arguments)
        if pretrained:
            return _pretrained(source, plain, num_classes, arguments)
        if source == "torchvision":
            return torchvision.models.get_model(plain, weights=None, num_classes=num_classes, **arguments)
        import timm  # only where it is needed: it takes seconds to import

        return timm.create_model(plain, num_classes=num_classes, **arguments)
    except TypeError as error:
        raise UserError(f"model {name} does not take the arguments {arguments}: {error}") from None


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
    import timm

    return timm.list_models()


def _pretrained(source: str, name: str, num_classes: int, arguments: dict[str, Any]) -> nn.Module:
    """A network with its published weights; their classes must be the data's, or its answers would mean nothing."""
    load = _of_torchvision if source == "torchvision" else _of_timm
    try:
        return load(name, num_classes, arguments)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"the published weights of {name} could not be downloaded ({str(error).splitlines()[0]}): fetch them where "
            "there is internet and give the file as checkpoint"
        ) from None


def _of_torchvision(name: str, num_classes: int, arguments: dict[str, Any]) -> nn.Module:
    weights = torchvision.models.get_model_weights(name)["DEFAULT"]
    _require_classes(name, len(weights.meta["categories"]), num_classes)
    return torchvision.models.get_model(name, weights=weights, **arguments)


def _of_timm(name: str, num_classes: int, arguments: dict[str, Any]) -> nn.Module:
    import timm

    published = timm.get_pretrained_cfg(name)
    if published is None or not published.has_weights:
        raise UserError(f"timm publishes no weights of {name}: give a checkpoint")
    _require_classes(name, published.num_classes, num_classes)
    return timm.create_model(name, pretrained=True, **arguments)


def _require_classes(name: str, published: int, num_classes: int) -> None:
    if published != num_classes:
        raise UserError(
            f"the published weights of {name} are for {published} classes and the data has {num_classes}: train "
            "it first, or give a checkpoint"
        )
