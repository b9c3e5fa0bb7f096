"""Alignment of encoders with their operations, the error of each fit, and a cache of both."""

import hashlib
import inspect
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import broadcast, broadcast_object_list
from rich.progress import track
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from tst_fast.config.schema import Config
from tst_fast.errors import UserError, reason
from tst_fast.policy import encoders as encoders_module
from tst_fast.policy.encoders import Encoders
from tst_kernels import OPERATIONS, apply, normalise, operations, reference
from tst_pipelines import Dataset, Loader
from tst_pipelines.datasets.cache import user_cache
from tst_pipelines.writing import write_whole

LEARNING_RATE, DECAY = 1e-3, 0.999
BATCH, IMAGES, HELD_OUT = 32, 1024, 0.2
LEVELS = 9
"""At how many levels, evenly over its range, a fit is measured."""


@dataclass(frozen=True)
class Fit:
    """How well an encoder follows its operation, on images that it was not aligned on.

    Attributes:
        levels: evenly over the operation's range.
        encoder: mean squared error of the encoder at each level, pixels in 0..1.
        identity: of the image itself: what doing nothing would give.
    """

    levels: list[float]
    encoder: list[float]
    identity: list[float]


def aligned_encoders(
    config: Config, dataset: Dataset, open_loader: Callable[[], Loader], accelerator: Accelerator, quiet: bool = True
) -> tuple[Encoders, dict[str, Fit]]:
    """Encoders for the policy's operations, frozen, on the device: from the cache, else aligned now and kept there.

    The main process aligns; the others receive its weights.

    Args:
        config: operations, images, seed and steps.
        dataset: the training images.
        open_loader: gives a loader of them as training sees them, at its beginning; called where none are cached.
        accelerator: for the device and the other processes.
        quiet: show no progress.

    Returns:
        The encoders, and the fit of each by its operation's name.

    Raises:
        UserError: the cache cannot be written.
    """
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(config.seed)
        encoders = Encoders(config.policy.operations)
    fits: list[dict[str, Fit]] = [{}]
    if accelerator.is_main_process and len(encoders):
        file = _cache_file(config, dataset, accelerator.num_processes)
        cached = _load(encoders, file)
        if cached is None:
            images = _sample(open_loader())
            encoders.to(accelerator.device)
            cached = align(encoders, images, config.policy.encoder_steps, config.seed, quiet)
            _keep(encoders, cached, file)
        fits = [cached]
    encoders.to(accelerator.device).eval().requires_grad_(False)
    for parameter in encoders.parameters():
        broadcast(parameter)
    broadcast_object_list(fits)
    return encoders, fits[0]


def align(encoders: Encoders, images: Tensor, steps: int, seed: int, quiet: bool = True) -> dict[str, Fit]:
    """Train each encoder to do what its operation does, by mean squared error; levels and signs are uniform.

    AdamW with a rate of 1e-3, times 0.999 after each step.

    Args:
        encoders: trained in place, each by itself.
        images: uint8 [N, H, W, 3], N at least 2, on the device of the encoders; a fifth is held out for the fit.
        steps: of each encoder.
        seed: of images and levels.
        quiet: show no progress.

    Returns:
        The fit of each.
    """
    held_out = max(int(HELD_OUT * len(images)), 1)
    for name, encoder in track(list(encoders.items()), "encoders are aligned", disable=quiet):
        random = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.AdamW(encoder.parameters(), LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, DECAY)
        for _ in range(steps):
            some = images[torch.randint(held_out, len(images), (BATCH,), generator=random).to(images.device)]
            levels = torch.rand(BATCH, generator=random).to(images.device)
            if OPERATIONS[name].signed:
                levels = 2 * levels - 1
            loss = F.mse_loss(encoder(normalise(some), levels), apply(some, name, levels))
            loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    return {name: _fit(name, encoder, images[:held_out]) for name, encoder in encoders.items()}


@torch.no_grad()
def _fit(name: str, encoder: nn.Module, images: Tensor) -> Fit:
    original = normalise(images)
    levels = torch.linspace(-1 if OPERATIONS[name].signed else 0, 1, LEVELS).tolist()
    errors: list[list[float]] = [[], []]
    for level in levels:
        target = apply(images, name, level)
        result = encoder(original, torch.full((len(images),), level, device=images.device))
        for row, candidate in zip(errors, (result, original), strict=True):
            row.append(F.mse_loss(candidate, target).item())
    return Fit(levels, *errors)


def _sample(loader: Loader) -> Tensor:
    """Its first images, at most 1,024: uint8 [N, H, W, 3]. Closes the loader."""
    found = []
    try:
        for batch in loader:
            found.append(batch.images)
            if sum(map(len, found)) >= IMAGES:
                break
    finally:
        loader.close()
    return torch.cat(found)[:IMAGES]


def _cache_file(config: Config, dataset: Dataset, processes: int) -> Path:
    """Named by all that the result depends on, this program's code included."""
    data = config.data
    sources = [Path(inspect.getfile(module)) for module in (operations, reference, encoders_module)]
    key = {
        "data": [dataset.fingerprint, data.batch_size, data.image_size, data.crop, data.padding, data.flip],
        "operations": config.policy.operations,
        "seed": config.seed,
        "processes": processes,  # of which the first sees its own share of the images
        "steps": config.policy.encoder_steps,
        "code": [hashlib.sha256(source.read_bytes()).hexdigest() for source in [*sources, Path(__file__)]],
    }
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    return user_cache() / "encoders" / f"{data.name}-{data.image_size}px-seed{config.seed}-{digest}.safetensors"


def _load(encoders: Encoders, file: Path) -> dict[str, Fit] | None:
    """Fill the encoders from the cache; None, and encoders as they were, where it has none that can be read."""
    try:
        with safe_open(file, "pt") as content:
            weights = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
            fits = {name: Fit(**values) for name, values in json.loads(content.metadata()["fits"]).items()}
        encoders.load_state_dict(weights)
    except (OSError, SafetensorError, RuntimeError, KeyError, TypeError, ValueError):
        return None
    return fits


def _keep(encoders: Encoders, fits: dict[str, Fit], file: Path) -> None:
    """Write weights and fits whole or not at all."""
    weights = {name: value.detach().cpu().contiguous() for name, value in encoders.state_dict().items()}
    content = save(weights, metadata={"fits": json.dumps({name: asdict(fit) for name, fit in fits.items()})})
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(file) as stream:
            stream.write(content)
    except OSError as error:
        raise UserError(
            f"the aligned encoders cannot be kept in {file.parent} ({reason(error)}): set TST_FAST_CACHE to a folder "
            "that can be written to"
        ) from None
