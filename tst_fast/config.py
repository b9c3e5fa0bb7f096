"""Everything a run can be told: typed, from a preset or a YAML file, each value open to a dotted flag."""

import argparse
import dataclasses
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser

from kernels import OPERATIONS
from kernels.operations import find_operation
from tst_fast.errors import UserError

PRESETS = Path(__file__).parent / "presets"


@dataclass
class DataConfig:
    """Images, and how they are loaded.

    Args:
        name: digits (scikit-learn's real handwritten digits, made on first use) or folder (class folders of images).
        root: for folder: a directory that holds train/CLASS/* and val/CLASS/* (or test/CLASS/*).
        image_size: side of the images that the networks see, in pixels.
        batch_size: originals in a training step, over all processes together; a distillation step sees twice as many.
        crop: pad (zeros around, then a random crop), random_resized (torchvision's RandomResizedCrop).
        padding: pixels of zeros on each side, for crop pad.
        flip: probability of a horizontal flip.
        resize: length of the shorter side before the centre crop in evaluation; null resizes to the square itself.
        mean: of each channel, 0..1; subtracted from the images.
        std: of each channel, 0..1; the images are divided by it.
        threads: DALI's CPU threads in each process.
        prefetch: batches that DALI prepares ahead.
    """

    name: Literal["digits", "folder"] = "folder"
    root: Path | None = None
    image_size: int = 224
    batch_size: int = 128
    crop: Literal["pad", "random_resized"] = "random_resized"
    padding: int = 4
    flip: float = 0.5
    resize: int | None = None
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    threads: int = 2
    prefetch: int = 2


@dataclass
class ModelConfig:
    """A network.

    Args:
        name: convnet (a small plain one), or any classification model of torchvision, such as resnet18.
        arguments: what its constructor takes, for instance {channels: [4, 8, 16]} for convnet.
        checkpoint: weights to start from: .safetensors, or .pt or .pth holding a state dict. A teacher with one is
            not trained.
    """

    name: str = "resnet18"
    arguments: dict[str, Any] = field(default_factory=dict)
    checkpoint: Path | None = None


@dataclass
class OptimizerConfig:
    """What steps a network, with a rate that is a function of the step.

    Args:
        name: sgd, or lamb (NVIDIA apex's FusedLAMB; apex is installed from its source and needs a GPU).
        learning_rate: the highest rate.
        momentum: SGD's momentum.
        weight_decay: of either.
        nesterov: whether SGD's momentum is Nesterov's.
        schedule: one_cycle (up in the first quarter, then down to nothing, both along a cosine), or multi_step.
        milestones: for multi_step: the epochs from which the rate is a tenth of what it was.
    """

    name: Literal["sgd", "lamb"] = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    nesterov: bool = True
    schedule: Literal["one_cycle", "multi_step"] = "one_cycle"
    milestones: list[int] = field(default_factory=list)


@dataclass
class TrainingConfig:
    """How one network is trained.

    Args:
        epochs: passes over the training images.
        optimizer: what steps it.
    """

    epochs: int = 100
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)


@dataclass
class DistillationConfig:
    """What the student learns from (TST, section 3).

    Args:
        teacher: whether there is a teacher at all; without, the student learns from the labels alone.
        augment: whether each step holds the policy's augmented images beside the originals.
        alpha: weight of the distillation term beside the cross-entropy.
        tau: temperature of the distillation term.
    """

    teacher: bool = True
    augment: bool = True
    alpha: float = 1.0
    tau: float = 4.0


@dataclass
class PolicyConfig:
    """The augmentation that is learned, and when (TST, section 3).

    Args:
        operations: names of the operations to choose from.
        operations_per_image: how many distinct operations are drawn for an image.
        shared_draw: whether the images of a batch share the draw of operations, as in the paper's code.
        temperature: of the relaxed Bernoulli gates.
        search_at: student epochs before which the policy is trained; empty leaves it untrained.
        search_epochs: passes over the training images in each of these searches.
        learning_rate: of the policy's SGD, at the start of each search.
        momentum: of the policy's SGD.
        objective: confidence (what the teacher is sure of and the student is not), or cross_entropy (the teacher's
            minus the student's).
        init: a policy.json to start from.
        compile: run the augmentation on CPUs through torch.compile: pays off in long runs on large images.
    """

    operations: list[str] = field(default_factory=lambda: [name for name in OPERATIONS if name != "AutoContrast"])
    operations_per_image: int = 4
    shared_draw: bool = True
    temperature: float = 0.05
    search_at: list[int] = field(default_factory=list)
    search_epochs: int = 1
    learning_rate: float = 0.01
    momentum: float = 0.9
    objective: Literal["confidence", "cross_entropy"] = "confidence"
    init: Path | None = None
    compile: bool = False


@dataclass
class Config:
    """A run.

    Args:
        name: what the run's folder is called, and what it is.
        output: where runs are kept; the run's folder is made inside.
        seed: of everything random: the same seed gives the same run.
        data: the images.
        teacher: the network that teaches.
        teacher_training: how the teacher is trained when it has no checkpoint.
        student: the network that learns.
        student_training: how the student is trained.
        distillation: what the student learns from.
        policy: the augmentation.
        log_every: steps between two lines of metrics.jsonl.
        checkpoint_every: steps between two checkpoints, besides the one at the end of each pass over the images.
    """

    name: str = "run"
    output: Path = Path("runs")
    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    teacher: ModelConfig = field(default_factory=ModelConfig)
    teacher_training: TrainingConfig = field(default_factory=TrainingConfig)
    student: ModelConfig = field(default_factory=ModelConfig)
    student_training: TrainingConfig = field(default_factory=TrainingConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    log_every: int = 10
    checkpoint_every: int = 1000


def presets() -> list[str]:
    """Names that `--config` knows besides files."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def nearest(name: str, known: Sequence[str]) -> str:
    """`; did you mean ...?` with the nearest known name, or nothing."""
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"; did you mean {found[0]!r}?" if found else ""


def add_config(parser: ArgumentParser) -> None:
    """Give a parser `--config` and a flag for every value of `Config`."""
    parser.add_argument("--config", action=ActionConfigFile, help=f"one of {', '.join(presets())}, or a YAML file")
    parser.add_class_arguments(Config)


def parse(parser: ArgumentParser, arguments: Sequence[str]) -> tuple[Config, argparse.Namespace]:
    """Read a command line: the configuration, and whatever other arguments `parser` has.

    Raises:
        UserError: an unknown key or flag (with the nearest known one), or a bad value (with its name).
    """
    try:
        parsed = parser.parse_args(_with_preset_files(arguments))
    except (argparse.ArgumentError, ValueError) as error:
        raise UserError(_explain(str(error), parser)) from None
    values = vars(parser.instantiate(parsed))
    names = {item.name for item in dataclasses.fields(Config)}
    config = Config(**{name: values[name] for name in names})
    check(config)
    return config, argparse.Namespace(**{name: value for name, value in values.items() if name not in names})


def make_parser(program: str, description: str) -> ArgumentParser:
    """A parser whose errors `parse` can explain."""
    usage = f"{program} [--config PRESET_OR_FILE] [--a.b value ...]"
    return ArgumentParser(prog=program, usage=usage, description=description, exit_on_error=False)


def load(file: Path) -> Config:
    """Read a configuration that `save` wrote, or any YAML file of the same form.

    Raises:
        UserError: as `parse`, or there is no such file.
    """
    parser = make_parser("config", "")
    add_config(parser)
    return parse(parser, ["--config", str(file)])[0]


def save(config: Config, file: Path) -> None:
    """Write every value, resolved, as YAML."""
    file.write_text(yaml.safe_dump(_plain(config), sort_keys=False))


def replace(config: Config, **changes: Any) -> Config:
    """A copy with some values changed; `__` in a name stands for the dot of its flag."""
    for name, value in changes.items():
        head, _, rest = name.partition("__")
        inner = replace(getattr(config, head), **{rest: value}) if rest else value
        config = dataclasses.replace(config, **{head: inner})
    return config


def check(config: Config) -> None:
    """Refuse values that cannot work, before anything is loaded.

    Raises:
        UserError: the message names the flag, its value and the remedy.
    """
    policy, data = config.policy, config.data
    try:
        codes = [find_operation(name).code for name in policy.operations]
    except ValueError as error:
        raise UserError(f"--policy.operations: {error}") from None
    _require(len(set(codes)) == len(codes), "--policy.operations names an operation twice: leave one of them out")
    _require(
        1 <= policy.operations_per_image <= len(codes),
        f"--policy.operations_per_image is {policy.operations_per_image}: it must be from 1 to the {len(codes)} "
        "operations in --policy.operations",
    )
    untaught = config.distillation.teacher and not config.teacher.checkpoint and config.teacher_training.epochs == 0
    _require(not untaught, "--teacher_training.epochs is 0 and there is no --teacher.checkpoint: give one of them")
    epochs = config.student_training.epochs
    late = [epoch for epoch in policy.search_at if not 0 <= epoch < epochs]
    _require(not late, f"--policy.search_at has {late}, but the student's epochs are 0 to {epochs - 1}")
    _require(data.name != "folder" or data.root is not None, "--data.root is missing: name the folder of the images")
    _require(0 <= data.flip <= 1, f"--data.flip is {data.flip}: it is a probability, from 0 to 1")
    _require(all(s > 0 for s in data.std), f"--data.std is {data.std}: each value must be above 0")
    _require(policy.temperature > 0, f"--policy.temperature is {policy.temperature}: it must be above 0")
    _require(config.distillation.tau > 0, f"--distillation.tau is {config.distillation.tau}: it must be above 0")
    positive = {
        "data.image_size": data.image_size,
        "data.batch_size": data.batch_size,
        "data.threads": data.threads,
        "data.prefetch": data.prefetch,
        "policy.search_epochs": policy.search_epochs,
        "log_every": config.log_every,
        "checkpoint_every": config.checkpoint_every,
    }
    for name, value in positive.items():
        _require(value >= 1, f"--{name} is {value}: it must be 1 or more")
    for name in ("teacher_training", "student_training"):
        number = getattr(config, name).epochs
        _require(number >= 0, f"--{name}.epochs is {number}: it cannot be negative")


def _require(valid: bool, message: str) -> None:
    if not valid:
        raise UserError(message)


def _with_preset_files(arguments: Sequence[str]) -> list[str]:
    """`--config digits` becomes `--config .../presets/digits.yaml`; files are left as they are."""
    result = list(arguments)
    for i, word in enumerate(result):
        if word == "--config" and i + 1 < len(result):
            result[i + 1] = str(_preset_or_file(result[i + 1]))
        elif word.startswith("--config="):
            result[i] = f"--config={_preset_or_file(word.removeprefix('--config='))}"
    return result


def _preset_or_file(name: str) -> Path:
    if name in presets():
        return PRESETS / f"{name}.yaml"
    if not Path(name).is_file():
        raise UserError(
            f"--config {name}: no preset of this name{nearest(name, presets())} Presets are {', '.join(presets())}; "
            "there is no such file either."
        )
    return Path(name)


def _explain(message: str, parser: ArgumentParser) -> str:
    """Add the nearest known key to what jsonargparse says of an unknown one."""
    unknown = (
        r"unrecognized arguments: --(?P<flag>[\w.]+)"
        r"|Option '(?P<key>[\w.]+)' is not accepted"
        r"|Group '(?P<group>[\w.]+)' does not accept option '(?P<inner>[\w.]+)'"
    )
    found = re.search(unknown, message)
    if not found:
        return re.sub(r"Parser key \"([\w.]+)\":\s*", r"--\1: ", message)
    name = found["flag"] or found["key"] or f"{found['group']}.{found['inner']}"
    known = [option[2:] for action in parser._actions for option in action.option_strings if option.startswith("--")]
    return f"unknown setting {name!r}{nearest(name, known)} `--help` lists them all."


def _plain(value: Any) -> Any:
    """Dataclasses, paths and tuples as what YAML has."""
    if dataclasses.is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
