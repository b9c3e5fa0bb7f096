"""What the student minimises, by its formula in NumPy: from the images and the outputs of both networks."""

import numpy as np
import pytest

SETTINGS = ("--loss.tau=2.5", "--loss.alpha=0.7", "--loss.cross_entropy_weight=0.3")


def _watch(module):
    """Input and output of each forward pass of a module, as NumPy arrays in float64."""
    seen = []
    module.register_forward_hook(
        lambda module, inputs, output: seen.append([value.detach().double().numpy() for value in (inputs[0], output)])
    )
    return seen


def _loss(run, batch):
    update = run.learners.student
    loss, scalars = update.loss(update.model, batch)
    return loss.item(), {name: value.item() for name, value in scalars.items()}


def _log_softmax(logits):
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _cross_entropy(logits, labels):
    return -_log_softmax(logits)[range(len(labels)), labels].mean()


def _kd(student, teacher, labels):
    log_q, log_p = _log_softmax(student / 2.5), _log_softmax(teacher / 2.5)
    divergence = (np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean()
    return 0.3 * _cross_entropy(student, labels) + 0.7 * 2.5**2 * divergence


def _confidence(logits, labels):
    return np.exp(_log_softmax(logits))[range(len(labels)), labels].mean()


def _plain(run, batch):
    """The images of a batch as a network takes them."""
    data = run.config.data
    pixels = batch.images.numpy()[..., :3].astype(np.float64) / 255
    return ((pixels - np.array(data.mean)) / np.array(data.std)).transpose(0, 3, 1, 2)


def test_half_is_on_what_the_policy_makes_of_the_images_and_half_on_the_images(tiny_config, make_run):
    run = make_run(tiny_config(*SETTINGS))
    batch = next(iter(run.session.training_loader))
    of_student, of_teacher = _watch(run.session.student), _watch(run.session.teacher)
    loss, scalars = _loss(run, batch)
    ((images, student),), ((same, teacher),) = of_student, of_teacher
    assert (images == same).all()
    halves = [slice(0, 100), slice(100, 200)]
    plain = [np.allclose(images[half], _plain(run, batch), atol=1e-5) for half in halves]
    assert sorted(plain) == [False, True]
    labels = batch.labels.numpy()
    assert loss == pytest.approx(sum(_kd(student[half], teacher[half], labels) for half in halves) / 2, rel=1e-5)
    augmented = halves[plain.index(False)]
    assert scalars == {
        "teacher_confidence": pytest.approx(_confidence(teacher[augmented], labels), rel=1e-5),
        "student_confidence": pytest.approx(_confidence(student[augmented], labels), rel=1e-5),
        "plain_student_confidence": pytest.approx(_confidence(student[halves[plain.index(True)]], labels), rel=1e-5),
    }


def test_without_augmentation_all_is_on_the_images(tiny_config, make_run):
    run = make_run(tiny_config(*SETTINGS, "--distillation.augment=false"))
    batch = next(iter(run.session.training_loader))
    of_student, of_teacher = _watch(run.session.student), _watch(run.session.teacher)
    loss, _ = _loss(run, batch)
    ((images, student),), ((_, teacher),) = of_student, of_teacher
    np.testing.assert_allclose(images, _plain(run, batch), atol=1e-5)
    assert loss == pytest.approx(_kd(student, teacher, batch.labels.numpy()), rel=1e-5)


def test_without_a_teacher_it_is_cross_entropy(tiny_config, make_run):
    run = make_run(tiny_config(*SETTINGS, "--distillation.teacher=false"))
    batch = next(iter(run.session.training_loader))
    seen = _watch(run.session.student)
    loss, _ = _loss(run, batch)
    ((images, logits),) = seen
    np.testing.assert_allclose(images, _plain(run, batch), atol=1e-5)
    assert loss == pytest.approx(_cross_entropy(logits, batch.labels.numpy()), rel=1e-5)


@pytest.mark.parametrize("weight", [0.0, 3.0])
def test_a_feature_counts_by_its_weight(tiny_config, make_run, weight):
    """The feature is of four channels in both networks, so that nothing stands between the two."""
    pair = f"--loss.features=[{{student: features.3, teacher: features.3, weight: {weight}}}]"
    run = make_run(tiny_config(*SETTINGS, pair))
    batch = next(iter(run.session.training_loader))
    networks = run.session.student, run.session.teacher
    outputs, features = map(_watch, networks), [_watch(network.features[3]) for network in networks]
    (((_, student),), ((_, teacher),)), (loss, _) = list(outputs), _loss(run, batch)
    (((_, own),), ((_, its),)) = features
    labels = np.tile(batch.labels.numpy(), 2)
    expected = _kd(student, teacher, labels) + weight * np.square(own - its).mean()
    assert loss == pytest.approx(expected, rel=1e-5)
