"""What would spoil a long run: every check of the doctor, on what the run itself would use."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from tst_fast.commands.cost import MORE_MEMORY, measure_cost
from tst_fast.commands.normalisation import examine_normalisation, numbers
from tst_fast.config.schema import Config, replace
from tst_fast.errors import Finding, UserError, flags_of
from tst_fast.models.evaluation import Preparation, published_preparation
from tst_fast.models.frozen import frozen
from tst_fast.models.normalised import published_normalisation
from tst_fast.policy.policy import Policy
from tst_fast.run.evaluate import evaluate
from tst_fast.run.gradient_noise import GradientSignal, remedy_of_noise, steps_for_a_signal
from tst_fast.run.plan import search_of, search_steps
from tst_fast.run.seeding import Stream, reseed
from tst_fast.run.session import Session, own_normalisation
from tst_fast.tasks.task import Role
from tst_pipelines import Batch, DataError, Loader, ResizeCenterCrop

SEARCH_BATCHES, SIGNAL_BATCHES = 30, 8
ZERO = 1e-6
"""A gradient below this share of the largest is none: what rounding leaves."""


def examine(config: Config, accelerator: Accelerator, images: int) -> Iterator[Finding]:
    """Every check, on the data, networks and updates that the run itself would use; nothing is kept.

    Args:
        config: of the run.
        accelerator: one process; devices and precision.
        images: test images to look at the teacher and the normalisation on.
    """
    config = replace(config, compile_networks=False)  # what is measured inside a network would break its graph
    told = set[str]()
    with closing(Session(config, accelerator, dry=True)) as session:
        for finding in _all_checks(session, images):
            if finding.found not in told:  # one damaged image is in the way of several
                told.add(finding.found)
                yield finding


def _all_checks(session: Session, images: int) -> Iterator[Finding]:
    config, draws = session.config, itertools.count()
    yield from _checked("classes", lambda: session.task.checks(session.splits))
    with closing(_some_test_images(session, images)) as sample:
        yield from _checked("normalisation", lambda: [examine_normalisation(config, sample)])
        yield from _checked("weights", lambda: _of_published_weights(session))
        if config.distillation.teacher:
            session.require_teacher().eval()
            yield from _checked("teacher", lambda: [_teacher(session, sample)])
    try:
        yield from _checked("student's loss", lambda: _gradients(session, next(_training_batches(session, draws))))
        if config.distillation.has_policy:
            yield from _checked("policy", lambda: _policy(session, _training_batches(session, draws)))
        yield from _checked("time", lambda: measure_cost(session, _training_batches(session, draws)))
    except torch.OutOfMemoryError:
        yield Finding("memory", "wrong", "a step does not fit into the GPU's", MORE_MEMORY)


def _checked(name: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """What a check finds; what is in its way is wrong, and the next may still find something."""
    try:
        yield from check()
    except (UserError, DataError) as error:
        yield Finding(name, "wrong", str(error), flags_of(error))


def _some_test_images(session: Session, images: int) -> Loader:
    """Test images at equal distances, for data sets lie in the order of their classes."""
    whole = session.splits.test
    positions = np.unique(np.linspace(0, len(whole) - 1, min(images, len(whole))).astype(np.int64))
    return session.task.evaluation_loader(whole.select(positions))


def _training_batches(session: Session, draws: Iterator[int]) -> Iterator[Batch]:
    """Mixed training batches without end, as the student gets them, with random numbers by the next of `draws`."""
    while True:
        for batch in session.student_loader:
            reseed(session.config.seed, Stream.DOCTOR_BATCH, next(draws))
            yield session.mixing["student"](batch)


def _of_published_weights(session: Session) -> Iterator[Finding]:
    """Checkpoints of networks whose published weights were trained on images normalised otherwise."""
    roles: tuple[Role, ...] = ("teacher", "student")
    for role in roles:
        chosen, own = getattr(session.config, role), own_normalisation(session.config, role)
        yield from _preparation(session, role)
        published = published_normalisation(chosen.name) if chosen.checkpoint else None
        if published is not None and published != own:
            found = (
                f"the {role} takes mean {numbers(own.mean)}, std {numbers(own.std)}; {chosen.name} is published for "
                f"{numbers(published.mean)} and {numbers(published.std)}"
            )
            remedy = f"if its checkpoint comes from these weights, give --{role}.mean and --{role}.std"
            yield Finding("normalisation", "doubtful", found, remedy)


def _preparation(session: Session, role: Role) -> Iterator[Finding]:
    """A network with weights whose published ones are evaluated on other crops, or otherwise resized, than here."""
    chosen = getattr(session.config, role)
    given = chosen.checkpoint is not None or chosen.pretrained
    published = published_preparation(chosen.name) if given else None
    own = session.task.evaluation_transform
    if published is None or not isinstance(own, ResizeCenterCrop):
        return
    here = Preparation(own.size, own.resize, own.interpolation)
    if here != published:
        size, resize, interpolation = published
        told = f"--data.image_size {size}, --data.interpolation {interpolation}"
        told += f", --data.resize {resize}" if resize else ""
        found = f"test images: {_of_preparation(here)}; {chosen.name} is published for {_of_preparation(published)}"
        if_so = "" if chosen.pretrained else "if its checkpoint comes from these weights, "
        yield Finding(f"{role}'s images", "doubtful", found, f"{if_so}try {told}")


def _of_preparation(one: Preparation) -> str:
    before = "to it" if one.resize is None else f"to {one.resize} px"
    return f"{one.size} px, resized {before}, {one.interpolation}"


def _teacher(session: Session, sample: Loader) -> Finding:
    """The teacher's headline score beside what is expected, within three standard errors and half a percent.

    The error is that of a sample from the test images: none where it is all of them.
    """
    config, chosen = session.config, session.config.teacher
    if session.learners.teacher is not None:
        return Finding("teacher", "good", f"{chosen.name} has no checkpoint: the run trains it first")
    number, metric = len(sample.dataset), session.task.metrics[0]
    try:
        found = evaluate(session.require_teacher(), sample, session.task, config.data, session.accelerator)
    except DataError as error:  # of a sample it may be chance
        return Finding("teacher", "doubtful", str(error), "raise --images")
    value = found.scores[metric.name]
    found = f"{metric.title} {100 * value:.1f} % on {number:,} test images"
    expected = chosen.expected_score
    whole = len(session.splits.test)
    left_out = (whole - number) / max(whole - 1, 1)
    if expected is None:
        classes = len(session.splits.test.classes)
        fails = classes > 1 and value <= metric.of_a_guess(classes, number)
        found += "; --teacher.expected_score would be compared"
    else:
        least = expected - 3 * (expected * (1 - expected) / number * left_out) ** 0.5 - 0.005
        found += f"; expected {100 * expected:.1f} %, at least {100 * least:.1f} % on so many"
        fails = value < least
    if fails:
        remedy = (
            "compare its --data.mean, --data.std, --data.image_size and --data.resize with those it was trained with, "
            "and the order of its classes with that of the data"
        )
        return Finding("teacher", "wrong", found, remedy)
    return Finding("teacher", "good", found)


def _gradients(session: Session, batch: Batch) -> list[Finding]:
    """The student's loss moves each of its weights and none of the teacher's, and depends on teacher and labels."""
    gradient, missing = _student_gradient(session, batch)
    if missing:
        some = ", ".join(missing[:3])
        found = f"{len(missing)} of the student's weights get no gradient: {some}{', ...' if len(missing) > 3 else ''}"
        remedy = "remove what the forward pass does not use: several processes would wait for its gradient for ever"
        findings = [Finding("student's loss", "wrong", found, remedy)]
    elif not gradient.isfinite().all():
        findings = [Finding("student's loss", "wrong", "its gradient is not finite", "look at --loss and --data.std")]
    else:
        findings = [Finding("student's loss", "good", f"a gradient of norm {gradient.norm():.3g} reaches every weight")]
    if not session.config.distillation.teacher:
        return findings
    teacher = session.require_teacher()
    touched = [name for name, value in teacher.named_parameters() if value.grad is not None]
    if touched:
        findings.append(Finding("teacher's weights", "wrong", f"{len(touched)} get a gradient", "report this as a bug"))
    else:
        findings.append(Finding("teacher's weights", "good", "no gradient reaches them"))
    with _inventing(session, teacher):
        unheeded = _alike(gradient, _student_gradient(session, batch)[0])
    if unheeded:
        found = "with invented answers of the teacher, the student's gradient is the same"
        remedy = "raise --loss.alpha"
        findings.append(Finding("distillation", "wrong", found, remedy))
    else:
        findings.append(Finding("distillation", "good", "the student's gradient follows the teacher's answers"))
    return findings


@contextmanager
def _inventing(session: Session, teacher: nn.Module) -> Iterator[None]:
    """Within, what the teacher answers is invented, and so are the features that the student learns from."""
    handles = [teacher.register_forward_hook(lambda module, inputs, output: session.task.scrambled(output))]
    for pair in session.config.loss.features:  # before the one that looks at them
        handles.append(teacher.get_submodule(pair.teacher).register_forward_hook(_inverted, prepend=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _inverted(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
    return 1 - output


def _student_gradient(session: Session, batch: Batch) -> tuple[Tensor, list[str]]:
    """The gradient of the student's loss, flat, and the names of the weights that got none; always the same draw."""
    reseed(session.config.seed, Stream.DOCTOR_GRADIENT)
    update = session.learners.student
    update.model.train()
    part = batch.split(session.config.student_training.accumulate)[0]
    loss, _ = update.loss(update.model, part)
    session.accelerator.backward(loss)
    named = dict(session.accelerator.unwrap_model(update.model).named_parameters())
    missing = [name for name, value in named.items() if value.grad is None]
    gradient = torch.cat([value.grad.flatten().clone() for value in named.values() if value.grad is not None])
    update.optimizer.zero_grad()
    return gradient, missing


def _alike(one: Tensor, other: Tensor) -> bool:
    return (one - other).norm().item() <= 1e-3 * one.norm().item()


def _policy(session: Session, training: Iterator[Batch]) -> list[Finding]:
    """That each operation's probability and level get a gradient, and how soon it stands out of its noise."""
    search, policy, signal = session.learners.require_search(), session.policy, GradientSignal(session.policy)
    total = {name: torch.zeros_like(value) for name, value in policy.named_parameters()}
    with frozen(session.require_teacher(), session.student):
        while signal.steps < SEARCH_BATCHES:
            search.backward(next(training).split(session.config.policy.accumulate)[0], 1.0)
            signal.add()
            for name, value in policy.named_parameters():
                if value.grad is not None:
                    total[name] += value.grad.abs()
                value.grad = None
            reached = all((value > ZERO * value.max()).all() for value in total.values() if len(value))
            if reached and signal.steps >= SIGNAL_BATCHES:
                break
    idle, flat = _without_gradient(policy, total["probability_logits"], total["magnitude_logits"])
    if not total["probability_logits"].max() > 0 or flat:
        found = f"no gradient reaches the level of {', '.join(flat)}" if flat else "no gradient reaches the policy"
        remedy = "look at --policy.init: at 0 and 1, levels and probabilities are stuck"
        return [Finding("policy", "wrong", found, remedy)]
    findings = [Finding("policy", "good", f"a gradient reaches each of {len(policy.operations)} operations")]
    if idle:
        found = f"without effect here, their gradients being zero: {', '.join(idle)}"
        remedy = "leave them out of --policy.operations (Color, if images are grey)"
        findings = [Finding("policy", "doubtful", found, remedy)]
    return [*findings, _signal(session, signal)]


def _signal(session: Session, signal: GradientSignal) -> Finding:
    """Whether a search is long enough for its gradients to stand out of their noise, estimated from a few steps."""
    config, steps = session.config, session.training_loader.steps_per_epoch
    needed = steps_for_a_signal(signal.statistics(), signal.steps)
    has = config.policy.search_epochs * search_steps(config, steps)
    if search_of(config) == "none":
        return Finding("search", "good", "the policy is not searched")
    if search_of(config) == "interleaved":
        student_steps = steps * config.student_training.epochs
        has = student_steps * config.policy.search_steps // config.policy.search_every
    found = f"half of the gradients stand out of their noise after about {needed} steps; a search has {has:,}"
    if needed is None or needed > has:
        return Finding("search", "doubtful", found, remedy_of_noise(config.policy))
    return Finding("search", "good", found)


def _without_gradient(policy: Policy, probability: Tensor, magnitude: Tensor) -> tuple[list[str], list[str]]:
    """Operations without any gradient, and those whose level alone has none."""
    levelled = iter(magnitude.tolist())
    idle, flat = [], []
    for operation, value in zip(policy.operations, probability.tolist(), strict=True):
        level = next(levelled) if operation.has_level else None
        if value <= ZERO * probability.max().item():
            idle.append(operation.name)
        elif level is not None and level <= ZERO * magnitude.max().item():
            flat.append(operation.name)
    return idle, flat
