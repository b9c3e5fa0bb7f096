"""What segmentation asks of a network, and what it makes of the answers, against torch and plain NumPy."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator

from tst_fast.config.schema import Config, replace
from tst_fast.errors import UserError
from tst_fast.losses.dense import rows
from tst_fast.losses.distillation import LOSSES
from tst_fast.models.segmentation import SegmentationOutput, build_segmenter
from tst_fast.policy.augmenter import Geometry
from tst_fast.tasks import make_task
from tst_fast.tasks.segmentation import Segmentation
from tst_kernels import OPERATIONS, Draw, compose, erased
from tst_pipelines import Targets

HEIGHT, WIDTH, CLASSES, STRIDE = 8, 12, 3, 4
CONFIG = replace(Config(task="segmentation"), data__name="scenes", data__crop="scale", data__crop_size=(HEIGHT, WIDTH))


def _task(**changes):
    task = Segmentation(replace(CONFIG, **changes), Accelerator(cpu=True))
    task.classes, task.stride = ("ground", "disc", "bar"), STRIDE
    return task


def _imitation(task, student, teacher, asked):
    answers = task.answers(student, asked), task.answers(teacher, asked)
    return task.imitation(student, teacher, asked, answers).item()


def _labels(ignored=True):
    labels = torch.randint(0, CLASSES, (2, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(0)).byte()
    if ignored:
        labels[0, :, :5] = 255
    return labels


def _output(seed, stride=STRIDE, auxiliary=True):
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.randn(2, CLASSES, HEIGHT // stride, WIDTH // stride, generator=generator) for _ in range(2)]
    return SegmentationOutput(maps[0], maps[1] if auxiliary else None)


def test_the_student_is_asked_cell_by_cell():
    """Each cell for the shares of the classes in it, weighed by its labelled pixels; each image counts the same."""
    labels = _labels()
    asked = _task().decisions(Targets(labels))
    expected_labels, expected_weights = [], []
    for image in labels.numpy():
        for top in range(0, HEIGHT, STRIDE):
            for left in range(0, WIDTH, STRIDE):
                cell = image[top : top + STRIDE, left : left + STRIDE]
                counts = np.bincount(cell[cell != 255], minlength=CLASSES)
                expected_labels.append(counts / max(counts.sum(), 1))
                expected_weights.append(counts.sum() / (image != 255).sum() / len(labels))
    np.testing.assert_allclose(asked.labels, expected_labels, rtol=1e-6)
    np.testing.assert_allclose(asked.weights, expected_weights, rtol=1e-5)


def test_a_teacher_of_another_stride_answers_for_the_same_cells():
    task, student, teacher = _task(), _output(0), _output(1, stride=2)
    asked = task.decisions(Targets(_labels()))
    answers = task.answers(teacher, asked)
    resized = F.interpolate(teacher.logits, (2, 3), mode="bilinear")
    torch.testing.assert_close(answers, resized.permute(0, 2, 3, 1).reshape(-1, CLASSES))
    assert torch.equal(task.answers(student, asked), rows(student.logits))


@pytest.mark.parametrize("aligned", [False, True], ids=["teacher aligned", "student aligned"])
def test_a_teacher_of_another_alignment_answers_where_the_students_cells_are(aligned):
    """Of logits that rise linearly over the image: those at the cells' places, by what align_corners means."""
    pixels, strides = (48, 64), (8, 4)

    def places(side, stride, corners):
        cells = side // stride
        return torch.linspace(0, side - 1, cells) if corners else (torch.arange(cells) + 0.5) * stride - 0.5

    def linear(stride, corners):
        rows, columns = (places(side, stride, corners) for side in pixels)
        return (rows[:, None] + 100 * columns)[None, None]

    task = _task(data__crop_size=pixels)
    network = build_segmenter("pspnet/resnet18", CLASSES, {"align_corners": aligned}).eval()
    task.check_pair(network, network, CLASSES)
    task.stride = strides[0]
    asked = task.decisions(Targets(torch.zeros(1, *pixels, dtype=torch.uint8)))
    answers = task.answers(SegmentationOutput(linear(strides[1], not aligned), align_corners=not aligned), asked)
    expected = linear(strides[0], aligned)
    inner = (slice(1, -1), slice(1, -1)) if aligned else (slice(None), slice(None))  # beyond the outer cells' centres
    found = answers.view(expected.shape[2:])
    torch.testing.assert_close(found[inner], expected[0, 0][inner], rtol=1e-5, atol=1e-2)


def test_cross_entropy_and_that_of_the_auxiliary_head():
    labels, output = _labels(ignored=False), _output(0)
    logits = [F.interpolate(maps, (HEIGHT, WIDTH), mode="bilinear") for maps in output[:2]]
    own, auxiliary = (F.cross_entropy(maps, labels.long()).item() for maps in logits)
    task = _task(loss__auxiliary_weight=0.3)
    assert task.supervised(output, Targets(labels)).item() == pytest.approx(own + 0.3 * auxiliary, rel=1e-5)
    assert task.supervised(output._replace(auxiliary=None), Targets(labels)).item() == pytest.approx(own, rel=1e-5)


def test_auxiliary_heads_and_channels_are_distilled_where_asked():
    targets, student, teacher = Targets(_labels()), _output(0), _output(1)
    asked = _task().decisions(targets)
    cells = [rows(output.logits) for output in (student, teacher)]
    alone = LOSSES["kd"](*cells, asked.labels, asked.weights, tau=4.0).item()
    assert _imitation(_task(loss__alpha=0.5), student, teacher, asked) == pytest.approx(0.5 * alone, rel=1e-5)
    heads = [rows(output.auxiliary) for output in (student, teacher)]
    expected = 0.7 * LOSSES["kd"](*heads, asked.labels, asked.weights, tau=2.0).item()
    of_heads = _task(loss__alpha=0.0, loss__auxiliary_alpha=0.7, loss__tau=2.0)
    assert _imitation(of_heads, student, teacher, asked) == pytest.approx(expected, rel=1e-5)
    p, q = ((maps.logits / 3).flatten(2).softmax(2) for maps in (teacher, student))
    by_channel = 9 * (p * (p / q).log()).sum(2).mean()
    of_channels = _task(loss__alpha=0.0, loss__cwd_weight=0.5, loss__cwd_tau=3.0)
    labelled = of_channels.decisions(Targets(_labels(ignored=False)))
    found = _imitation(of_channels, student, teacher, labelled)
    assert found == pytest.approx(0.5 * by_channel.item(), rel=1e-4)


@pytest.mark.parametrize("cutout", ["ignore", "keep"])
def test_labels_move_with_the_image(cutout):
    """Erased first, then two pixels to the right and a rotation by nothing."""
    labels = _labels()
    codes = torch.tensor([[OPERATIONS[name].code for name in ("Cutout", "TranslateX")]]).expand(2, 2)
    levels = torch.tensor([[0, 2 / (150 / 331 * WIDTH)]]).expand(2, 2)
    draw = Draw(codes, levels, torch.ones(2, 2))
    geometry = Geometry(compose(draw, HEIGHT, WIDTH), erased(draw, HEIGHT, WIDTH), (HEIGHT, WIDTH))
    expected = labels.clone()
    if cutout == "ignore":
        expected[:, 2:6, 4:8] = 255  # half the shorter side, in the middle
    expected = F.pad(expected[:, :, :-2], (2, 0), value=255)
    task = _task(policy__cutout=cutout)
    assert torch.equal(task.moved(Targets(labels), geometry).labels, expected)
    asked = task.decisions(Targets(labels), geometry)
    seen = expected[:, :, 2:] != 255
    assert torch.equal(asked.weights.view(2, HEIGHT, WIDTH)[:, :, :-2] > 0, seen)
    assert asked.weights.view(2, HEIGHT, WIDTH)[:, :, -2:].max() == 0
    assert torch.equal(asked.labels.view(2, HEIGHT, WIDTH)[:, :, :-2][seen], expected[:, :, 2:][seen].long())
    assert asked.weights.sum().item() == pytest.approx(1)


def test_what_has_left_the_frame_does_not_lower_the_loss():
    """Each image counts the same, however little of it is in sight; one of which nothing is, counts nothing."""
    still = torch.eye(2, 3).expand(2, 2, 3).clone()
    far = still.clone()
    far[0, 0, 2], far[1, 0, 2] = 1.5, 5.0
    task, nothing = _task(), torch.zeros(2, 4)
    shares = [
        task.decisions(Targets(_labels()), Geometry(theta, nothing, (HEIGHT, WIDTH))).weights.sum().item()
        for theta in (still, far)
    ]
    assert shares == pytest.approx([1.0, 0.5])


def test_confidence_of_each_image():
    labels, output = _labels(), _output(2)
    probabilities = F.interpolate(output.logits, (HEIGHT, WIDTH), mode="bilinear").softmax(1)
    expected = [
        np.mean([probability[label, y, x] for (y, x), label in np.ndenumerate(image) if label != 255])
        for image, probability in zip(labels.numpy(), probabilities.numpy(), strict=True)
    ]
    np.testing.assert_allclose(_task().confidences(output, Targets(labels)), expected, rtol=1e-5)


def test_halves_of_one_forward_pass():
    output = _output(0)
    first, second = _task().parts(output, 2)
    assert torch.equal(first.logits, output.logits[:1]) and torch.equal(second.auxiliary, output.auxiliary[1:])


def test_what_is_kept_and_what_is_never_made():
    config = {"student__name": "pspnet/resnet18", "data__crop_size": (32, 64)}
    dataset = dataclasses.make_dataclass("Named", ["classes"])(("a", "b", "c"))
    network = _task(**config).network("student", dataset)
    kept = _task(**config).kept(network)
    images = torch.zeros(2, 3, 32, 64)
    assert network(images).auxiliary is not None and kept(images).auxiliary is None
    assert not any("auxiliary" in name for name in kept.state_dict())
    unused = _task(**config, loss__auxiliary_weight=0.0).network("student", dataset)
    assert unused(images).auxiliary is None


def test_heads_that_are_not_there_are_missed_before_anything_is_trained():
    """By the networks' names and arguments, or because the teacher's checkpoint has none."""
    task = _task(loss__auxiliary_alpha=0.4)
    whole, bare = (build_segmenter("pspnet/resnet18", 3, {"auxiliary": auxiliary}) for auxiliary in (True, False))
    task.check_pair(whole, whole, CLASSES)
    _task().check_pair(bare, bare, CLASSES)
    with pytest.raises(UserError, match=r"--loss.auxiliary_alpha needs .* the student has none \(--student.name"):
        task.check_pair(bare, whole, CLASSES)
    teacher = build_segmenter("pspnet/resnet18", 3, {})
    teacher.own_names(bare.state_dict())
    with pytest.raises(UserError, match=r"the teacher has none \(.* or its checkpoint\): set it to 0"):
        task.check_pair(whole, teacher, CLASSES)


def test_windows():
    config = replace(CONFIG, data__window=(4, 8), data__window_step=(2, 4))
    task = Segmentation(config, Accelerator(cpu=True))
    output = task.predict(lambda images: SegmentationOutput(images[:, :, ::2, ::2]), torch.ones(1, 3, 8, 12))
    torch.testing.assert_close(output.logits, torch.ones(1, 3, 8, 12))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data__name": "digits"}, "--data.name digits has no label maps: give one of scenes, pairs, cityscapes"),
        ({"data__crop": "pad"}, "--data.crop pad is not for label maps: give --data.crop scale"),
        ({"student_training__mixup": 0.2}, "--student_training.mixup is not for segmentation: set it to 0"),
        ({"teacher_training__cutmix": 1.0}, "--teacher_training.cutmix is not for segmentation"),
        ({"student_training__label_smoothing": 0.1}, "--student_training.label_smoothing is not for segmentation"),
        ({"policy__prior": "encoder"}, "--policy.prior encoder is not for segmentation: give --policy.prior exact"),
    ],
)
def test_options_without_a_meaning_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        make_task(replace(CONFIG, **changes), Accelerator(cpu=True))


def test_recognition_refuses_label_maps():
    with pytest.raises(UserError, match=r"--data.name scenes is not for recognition: give --task segmentation with it"):
        make_task(replace(CONFIG, task="classification"), Accelerator(cpu=True))
