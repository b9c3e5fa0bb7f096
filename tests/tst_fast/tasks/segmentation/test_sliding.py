"""Windows that cover an image, against mmsegmentation's rule counted out, and networks whose answer is known."""

import pytest
import torch
import torch.nn.functional as F

from tst_fast.models.segmentation import SegmentationOutput, build_segmenter
from tst_fast.tasks.segmentation.sliding import slide


def _places(seen):
    """A network that notes what it sees, and whose logits are the sum of the channels, at stride 2."""

    def network(images):
        seen.append(images)
        return SegmentationOutput(F.avg_pool2d(images.sum(1, keepdim=True), 2))

    return network


def test_one_window_is_the_whole_image():
    torch.manual_seed(0)
    network = build_segmenter("dilated", 5, {"channels": [4, 4, 4, 4]}).eval()
    images = torch.randn(2, 3, 32, 48)
    with torch.no_grad():
        whole = network(images)
        for window in ((32, 48), (100, 100)):
            found = slide(network, images, window, (16, 16))
            assert torch.equal(found.logits, whole.resized(whole.logits, (32, 48)))
    assert found.auxiliary is None


def test_windows_lie_as_counted_out():
    """Rows 0, 6 and 12 moved back to 10; columns 0 and 12 moved back to 8."""
    seen = []
    rows, columns = torch.meshgrid(torch.arange(18.0), torch.arange(20.0), indexing="ij")
    images = torch.stack([rows, columns, 0 * rows]).unsqueeze(0)
    slide(_places(seen), images, (8, 12), (6, 12))
    corners = [tuple(part[0, :2, 0, 0].tolist()) for part in seen]
    assert corners == [(0, 0), (0, 8), (6, 0), (6, 8), (10, 0), (10, 8)]
    assert all(part.shape[2:] == (8, 12) for part in seen)


def test_overlapping_windows_are_averaged():
    answers = iter([2.0, 10.0])
    found = slide(
        lambda part: SegmentationOutput(torch.full((1, 1, 2, 2), next(answers))),
        torch.zeros(1, 3, 4, 6),
        (4, 4),
        (4, 2),
    )
    assert torch.equal(found.logits[0, 0, 0], torch.tensor([2.0, 2, 6, 6, 10, 10]))


def test_gaps_are_refused():
    with pytest.raises(ValueError, match=r"step must not exceed the window, \[4, 4\], .* got \[4, 5\]"):
        slide(_places([]), torch.zeros(1, 3, 8, 8), (4, 4), (4, 5))
