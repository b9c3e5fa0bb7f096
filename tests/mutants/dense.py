"""Faults of the tasks with boxes and label maps."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    # Detection.
    Mutant(
        "objects stay where they were when the image moves",
        "tst_fast/tasks/detection/objects.py",
        "torch.where(kept[..., None], moved, 0)",
        "torch.where(kept[..., None], boxes, 0)",
        "tst_fast/tasks/detection/test_objects.py::test_objects_move_with_the_picture",
    ),
    Mutant(
        "boxes have no gradient in the search",
        "tst_fast/tasks/detection/objects.py",
        "warp_boxes(boxes, geometry.theta, targets",
        "warp_boxes(boxes, geometry.theta.detach(), targets",
        "tst_fast/tasks/detection/test_search_gradient.py::test_of_every_warp",
    ),
    Mutant(
        "what Cutout erased is still an object",
        "tst_fast/tasks/detection/objects.py",
        "(uncovered >= policy.visible)",
        "(uncovered >= 0)",
        "tst_fast/tasks/detection/test_objects.py::test_what_can_no_longer_be_seen_is_no_object",
    ),
    Mutant(
        "a place that is not there counts as an object",
        "tst_fast/tasks/detection/objects.py",
        "return present / present.sum().clamp(min=1)",
        "return torch.ones_like(labels) / labels.numel()",
        "tst_fast/tasks/detection/test_objects.py::test_each_object_counts_the_same",
    ),
    Mutant(
        "an object's score is its class's alone",
        "tst_fast/losses/boxes.py",
        "** (1 - quality_weight) * shared.clamp(min=SMALLEST) ** quality_weight",
        "** (1 - quality_weight)",
        "tst_fast/losses/test_boxes.py::test_a_score_weighs_class_and_place",
    ),
    Mutant(
        "locations outside an object's box count too",
        "tst_fast/models/detection/dense.py",
        "scores.masked_fill(~inside, -1).argmax(dim=0)",
        "scores.argmax(dim=0)",
        "tst_fast/models/detection/test_detectors.py::test_an_object_has_the_best_score_in_its_box",
    ),
    Mutant(
        "the centreness does not count",
        "tst_fast/models/detection/dense.py",
        "return (logits.sigmoid() * quality.to(logits.dtype).sigmoid()).clamp(min=1e-12).sqrt()",
        "return logits.sigmoid()",
        "tst_fast/models/detection/test_detectors.py::test_an_object_has_the_best_score_in_its_box",
    ),
    Mutant(
        "what the student knows already is imitated as hard",
        "tst_fast/losses/dense_detection.py",
        "return (surprise * losses).sum()",
        "return losses.sum()",
        "tst_fast/losses/test_dense_detection.py::test_classes",
    ),
    Mutant(
        "background is weighed as objects are",
        "tst_fast/losses/dense_detection.py",
        "return (weights * losses).sum() / weights.sum().clamp(min=1)\n\n\ndef _seen",
        "return losses.mean()\n\n\ndef _seen",
        "tst_fast/losses/test_dense_detection.py::test_centreness_and_boxes_are_weighed_by_what_the_teacher_sees",
    ),
    Mutant(
        "detections stay in the pixels of the canvas",
        "tst_fast/tasks/metrics/detection.py",
        'boxes = placement.to_image(one["boxes"].double().cpu().numpy(), row)',
        'boxes = one["boxes"].double().cpu().numpy()',
        "tst_fast/tasks/metrics/test_detection.py::test_the_twelve_numbers_are_pycocotools",
    ),
    Mutant(
        "crowds are objects like others",
        "tst_fast/tasks/metrics/detection.py",
        "dataset.crowd[positions].astype(int).tolist()",
        "(0 * dataset.crowd[positions]).astype(int).tolist()",
        "tst_fast/tasks/metrics/test_detection.py::test_the_twelve_numbers_are_pycocotools",
    ),
    Mutant(
        "what is beside a picture is not made blank again",
        "tst_fast/policy/augmenter.py",
        "_blank(warp(_blank(mixed, sizes), theta), sizes)",
        "warp(_blank(mixed, sizes), theta)",
        "tst_fast/policy/test_augmenter.py::test_beside_a_small_picture_all_is_the_mean_colour",
    ),
    # The search's translations, and what an exported policy does with them.
    Mutant(
        "the search does not move translations within a pixel",
        "tst_fast/run/search.py",
        "draw = dithered(draw, *size_of(part.images), part.sizes)",
        "dithered(draw, *size_of(part.images), part.sizes)",
        "tst_fast/policy/test_dither.py::test_the_mean_gradient_is_the_difference_over_a_pixel[TranslateX-True]",
    ),
    Mutant(
        "the exported warps are composed in the reverse order",
        "tst_fast/policy/exports/torchvision_policy.py",
        "whole = whole @ torch.tensor([*_matrix(name, level * gate, height / width), [0.0, 0.0, 1.0]])",
        "whole = torch.tensor([*_matrix(name, level * gate, height / width), [0.0, 0.0, 1.0]]) @ whole",
        "tst_fast/commands/test_export_with_masks.py::test_images_and_masks_equal_the_augmenters[additive]",
    ),
    Mutant(
        "the exported boxes move the other way",
        "tst_fast/policy/exports/torchvision_policy.py",
        "@ whole.inverse().mT",
        "@ whole.mT",
        "tst_fast/commands/test_export_with_masks.py::test_boxes_follow_torchvisions_rule[XYXY-Rotate-21.0-shift0]",
    ),
    Mutant(
        "a student's label maps are resized to the image instead of cut to it",
        "tst_fast/tasks/segmentation/predictions.py",
        "output.label_map((batch.images.shape[1], batch.images.shape[2]))[:, :height, :width]",
        "output.label_map((height, width))",
        "tst_fast/commands/test_predict.py::test_segmentation_writes_label_maps_and_pictures",
    ),
    Mutant(
        "all logits of a large image are in memory at once",
        "tst_fast/models/segmentation/output.py",
        "BAND = 256",
        "BAND = 1 << 20",
        "tst_fast/tasks/segmentation/test_memory.py::test_whole_images_are_answered_without_all_their_logits",
    ),
]
