"""Draw docs/method.png: a policy's draw applied to images, the confidences over a search, and the policy after it.

    python docs/draw_method.py [PICTURE.png] [--epochs 30]

Everything shown is computed: two networks are trained on scikit-learn's digits, the student for a third of the
teacher's epochs, and then `TST` searches. Takes half a minute on a CPU.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tst_fast import TST
from tst_fast.models.build import build_model
from tst_kernels import OPERATIONS, Draw, mix
from tst_pipelines import Batch, CachedLoader, PadAndCrop, Share, digits

SEARCH_STEPS, SHOWN = 90, 3
NAMES = list(OPERATIONS)


def learn(model: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], images: CachedLoader, epochs: int) -> None:
    """Train a network."""
    optimizer = torch.optim.SGD(model.train().parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, epochs * images.steps_per_epoch)
    for _ in range(epochs):
        for batch in images:
            optimizer.zero_grad()
            loss(batch.images, batch.labels).backward()
            optimizer.step()
            schedule.step()
    model.eval()


def search(tst: TST, images: CachedLoader, steps: int) -> list[tuple[float, float]]:
    """Search for some steps; returns the mean confidence of teacher and student in the true class at each step."""
    found = []
    while len(found) < steps:
        for batch in images:
            values = tst.search(batch.images, batch.labels)
            found.append((values["teacher_confidence"].item(), values["student_confidence"].item()))
    return found[:steps]


def confidences(tst: TST, image: Tensor, label: int) -> str:
    """Both networks' confidence in the true class of an image, normalised [3, H, W], as text."""
    with torch.no_grad():
        teacher, student = (network(image[None]).softmax(1)[0, label] for network in (tst.teacher, tst.student))
    return f"teacher {100 * teacher:.0f} %\nstudent {100 * student:.0f} %"


def draw_row(axes: Sequence[Any], tst: TST, batch: Batch, row: int, draw: Draw) -> None:
    """Draw an image, each of its operations fully applied, and the mix of all by their gates."""
    image, label = batch.images[row : row + 1], int(batch.labels[row])
    centres = None if draw.centres is None else draw.centres[row : row + 1]
    one = Draw(draw.operations[row : row + 1], draw.levels[row : row + 1], draw.gates[row : row + 1], centres)
    shown = [("image", mix(image, _with_gates(one, torch.zeros_like(one.gates)))[0])]
    for slot in range(one.gates.shape[1]):
        alone = torch.zeros_like(one.gates)
        alone[0, slot] = 1
        name, level, gate = NAMES[one.operations[0, slot]], one.levels[0, slot], one.gates[0, slot]
        has_level = OPERATIONS[name].has_level
        title = f"{name}{f' {level:+.2f}' if has_level else ''}\ngate {gate:.2f}"
        shown.append((title, mix(image, _with_gates(one, alone))[0]))
    mixed = mix(image, one, tst.config.data.mean, tst.config.data.std)[0]
    shown.append(("all of them", mix(image, one)[0]))
    for axis, (title, picture) in zip(axes, shown, strict=True):
        axis.imshow(picture.clamp(0, 1).permute(1, 2, 0))
        axis.set_title(title, fontsize=8)
        axis.set_xticks([])
        axis.set_yticks([])
    axes[0].set_xlabel(confidences(tst, tst.normalise(image)[0], label), fontsize=8)
    axes[-1].set_xlabel(confidences(tst, mixed, label), fontsize=8)


def _with_gates(draw: Draw, gates: Tensor) -> Draw:
    return Draw(draw.operations, draw.levels, gates, draw.centres)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the networks, search, and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path, nargs="?", default=Path(__file__).with_name("method.png"))
    parser.add_argument("--epochs", type=int, default=30, help="epochs of the teacher; the student trains a third")
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    images = CachedLoader(digits()[0], PadAndCrop(32, 2, flip=0.0), 64, Share(training=True, seed=0))
    teacher, student = (build_model("convnet", 10, {"channels": [w, 2 * w, 4 * w]}) for w in (24, 4))
    tst = TST(teacher, student, mean=(0.305, 0.305, 0.305), std=(0.376, 0.376, 0.376), learning_rate=0.05)
    learn(teacher, lambda x, y: cross_entropy(teacher(tst.normalise(x)), y), images, options.epochs)
    learn(student, tst.loss, images, max(1, options.epochs // 3))
    batch = next(iter(images))
    with torch.no_grad():
        draw = tst.policy.draw(len(batch.images))
    figure = Figure(figsize=(10, 7.6), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=(3, 2))
    upper, lower = halves
    for row, axes in enumerate(upper.subplots(SHOWN, 6)):
        draw_row(axes, tst, batch, row, draw)
    upper.suptitle("A draw: four operations, each at the policy's level, applied as far as its gate is open")
    found = search(tst, images, SEARCH_STEPS)
    curves, bars = lower.subplots(1, 2, width_ratios=(2, 3))
    for name, values in zip(("teacher", "student"), zip(*found, strict=True), strict=True):
        smooth = [sum(values[max(0, i - 9) : i + 1]) / len(values[max(0, i - 9) : i + 1]) for i in range(len(values))]
        curves.plot(smooth, label=name)
    curves.set(title="The search: confidence in the label", xlabel="step of the policy", ylim=(0, 1))
    curves.legend()
    learned = tst.policy.learned()
    bars.bar([row.operation for row in learned], [row.probability for row in learned])
    bars.axhline(0.5, color="black", linewidth=0.8)
    bars.tick_params("x", rotation=60)
    bars.set(title="The policy after it: probabilities, which began at 0.5", ylim=(0, 1))
    figure.savefig(options.picture, dpi=110)


if __name__ == "__main__":
    main()
