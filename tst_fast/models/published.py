"""Networks with the weights that torchvision and timm publish, whole or under a new last layer."""

from functools import partial
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from tst_fast.errors import UserError


def published_classifier(
    source: str, name: str, num_classes: int, arguments: dict[str, Any], new_head: bool
) -> nn.Module:
    """A network of recognition with its published weights, downloaded on first use.

    Args:
        source: "torchvision" or "timm".
        name: there.
        num_classes: of the data.
        arguments: further ones of its constructor.
        new_head: where the weights are for another number of classes, draw the last layer from torch's global
            generator; else they are refused, for its answers would mean nothing.

    Raises:
        UserError: there are none, or none for these classes or arguments, or they are out of reach.
    """
    load = _of_torchvision if source == "torchvision" else _of_timm
    try:
        return load(name, num_classes, arguments, new_head)
    except (OSError, RuntimeError) as error:
        raise out_of_reach(name, error) from None
    except ValueError as error:  # of torchvision, of an argument that its weights are not for
        raise UserError(f"the published weights of {name} do not go with the arguments {arguments}: {error}") from None


def out_of_reach(name: str, error: Exception) -> UserError:
    """What the user is told of weights, whole or of an encoder or backbone, that cannot be downloaded."""
    why = str(error).partition("\n")[0]
    return UserError(
        f"the published weights of {name} could not be downloaded ({why}): fetch them where there is internet and copy "
        "the cache here (TORCH_HOME has torchvision's, HF_HOME timm's), or give a checkpoint of the whole network"
    )


def require_classes(name: str, published: int, num_classes: int) -> None:
    """Refuse weights whose answers would be to another question.

    Raises:
        UserError: with what to do instead.
    """
    if published != num_classes:
        raise UserError(
            f"the published weights of {name} are for {published} classes and the data has {num_classes}: give "
            "--teacher.fine_tune true, and the teacher first learns the data's with a last layer of its own; or give a "
            "checkpoint"
        )


def require_plain(weights: WeightsEnum) -> None:
    """Download torchvision's weights if they are not here, and refuse what holds more than tensors.

    torchvision itself would unpickle whatever the file has: it is read by torch's reader of weights alone, before.
    """
    weights.get_state_dict(check_hash=True, weights_only=True)


def with_new_head(published: nn.Module, fresh: nn.Module) -> nn.Module:
    """The published network, with those layers of the fresh one that are of another shape: the last ones.

    Args:
        published: changed in place.
        fresh: the same architecture for other classes.
    """
    shapes = {name: value.shape for name, value in fresh.state_dict().items()}
    differing = [name for name, value in published.state_dict().items() if shapes.get(name, value.shape) != value.shape]
    for path in dict.fromkeys(name.rpartition(".")[0] for name in differing):
        published.set_submodule(path, fresh.get_submodule(path))
    return published


def _of_torchvision(name: str, num_classes: int, arguments: dict[str, Any], new_head: bool) -> nn.Module:
    weights = torchvision.models.get_model_weights(name)["DEFAULT"]
    classes = len(weights.meta["categories"])
    if not new_head:
        require_classes(name, classes, num_classes)
    require_plain(weights)
    published = torchvision.models.get_model(name, weights=weights, **arguments)
    if classes == num_classes:
        return published
    quick = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}  # else minutes, for one layer
    fresh = torchvision.models.get_model(name, weights=None, num_classes=num_classes, **quick, **arguments)
    return with_new_head(published, fresh)


def _of_timm(name: str, num_classes: int, arguments: dict[str, Any], new_head: bool) -> nn.Module:
    import timm  # only where it is needed: it takes seconds to import

    published = timm.get_pretrained_cfg(name)
    if published is None or not published.has_weights:
        raise UserError(f"timm publishes no weights of {name}: give a checkpoint")
    if not new_head:
        require_classes(name, published.num_classes, num_classes)
    return fresh_of_timm(name, num_classes, {"pretrained": True, **arguments})


def fresh_of_timm(name: str, num_classes: int, arguments: dict[str, Any]) -> nn.Module:
    """A network of timm's, which knows its weights under every name that timm itself knows them by."""
    import timm

    network = timm.create_model(name, num_classes=num_classes, **arguments)
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    known = partial(_names_of_timm, name, num_classes, arguments, shapes)
    setattr(network, "own_names", known)  # noqa: B010 (what `weights.OwnNames` asks for)
    return network


def _names_of_timm(
    name: str, num_classes: int, arguments: dict[str, Any], shapes: dict[str, torch.Size], state: dict[str, Tensor]
) -> dict[str, Tensor]:
    """A state dict as timm's loader understands it: renamed, reshaped and resampled; else as it is."""
    import timm

    if {key: value.shape for key, value in state.items()} == shapes:
        return state
    given = {**arguments, "num_classes": num_classes, "pretrained": True}
    there = {"state_dict": dict(state), "num_classes": num_classes, "custom_load": False}
    try:
        return timm.create_model(name, pretrained_cfg_overlay=there, **given).state_dict()
    except Exception:  # of names that it does not know, timm raises anything; `load_weights` lists what differs
        return state
