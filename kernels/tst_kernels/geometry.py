"""Where a draw moves things: one affine map an image, for pixels, label maps and boxes alike.

`mix(..., geometry=False)` leaves the warps of a draw to this file: `compose` makes one map of them, `warp` moves images
and label maps by it, `warp_boxes` boxes; `erased` says where Cutout left nothing. All is plain PyTorch and
differentiable.

A theta [2, 3] maps output to input positions in `affine_grid`'s coordinates, in which the canvas reaches from -1 to 1.
Boxes are x1, y1, x2, y2 in pixels of the canvas: pixel i covers [i, i + 1). A picture smaller than its canvas lies at
the canvas's top left; a warp mixes it with what is around, which should be blank before, and be made so again after.
"""

from typing import Literal

import torch
from torch import Tensor

from tst_kernels.draw import Draw, check_sizes
from tst_kernels.operations import OPERATIONS, Family, Scene, erased_box, family_parameters

BoxRule = Literal["ellipse", "hull"]
WARPS = tuple(operation for operation in OPERATIONS.values() if operation.family == Family.WARP)
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def compose(draw: Draw, height: int, width: int, sizes: Tensor | None = None) -> Tensor:
    """The warps of a draw as one map an image, as if they were applied one after the other in the order of the draw.

    Each has the level times the gate: a half-gated rotation is a rotation by half the angle. So the gradient of a gate
    is that of this product times the level. Other operations change nothing.

    Args:
        draw: of B images. Gradients reach its levels and gates.
        height: of the canvas, in pixels.
        width: of the canvas, in pixels.
        sizes: integer [B, 2], height and width of each picture in pixels; each then turns about its own centre and
            moves by shares of its own sides. None: the canvas.

    Returns:
        theta [B, 2, 3], output to input, float32, or float64 where levels or gates are.

    Raises:
        TypeError, ValueError: sizes that are not as said.
    """
    levels = draw.levels * draw.gates
    levels = levels.to(torch.promote_types(levels.dtype, torch.float32))
    heights, widths = _sides(sizes, levels, height, width)
    scene = Scene(heights, widths, levels, levels)  # of which warps ask for the sides alone
    rows = family_parameters(draw.operations, levels, scene, WARPS, IDENTITY)
    first, *others = rows.unflatten(-1, (2, 3)).unbind(1)
    linear, offset = first[..., :2], first[..., 2:]
    for matrix in others:
        offset = _product(linear, matrix[..., 2:]) + offset
        linear = _product(linear, matrix[..., :2])
    if sizes is not None:
        linear, offset = _on_canvas(linear, offset, heights / height, widths / width)
    return torch.cat([linear, offset], dim=2)


def erased(draw: Draw, height: int, width: int, sizes: Tensor | None = None) -> Tensor:
    """What Cutout took from each image, before any warp: where its gate is 0.5 or more, its square within the picture.

    Args:
        draw: of B images.
        height: of the canvas, in pixels.
        width: of the canvas, in pixels.
        sizes: as for `compose`.

    Returns:
        Boxes [B, 4], float32 or float64 as the levels; where nothing is erased, all 0. `box_mask` makes a mask of them.

    Raises:
        TypeError, ValueError: sizes that are not as said.
    """
    levels = draw.levels.detach().to(torch.promote_types(draw.levels.dtype, torch.float32))
    heights, widths = _sides(sizes, levels, height, width)
    centres = levels.new_full((len(levels), 2), 0.5) if draw.centres is None else draw.centres.to(levels.dtype)
    top, left, bottom, right = erased_box(Scene(heights, widths, levels, centres.unsqueeze(1)))
    box = torch.cat([left, top, right, bottom], dim=1)
    limits = torch.cat([widths, heights, widths, heights], dim=1)
    acts = ((draw.operations == OPERATIONS["Cutout"].code) & (draw.gates >= 0.5)).any(dim=1, keepdim=True)
    return torch.where(acts, torch.minimum(box.clamp(min=0), limits), 0)


def box_mask(boxes: Tensor, height: int, width: int) -> Tensor:
    """The pixels whose centres lie in a box [B, 4] each: bool [B, height, width]."""
    left, top, right, bottom = boxes[:, :, None, None].unbind(1)
    rows = torch.arange(height, device=boxes.device)[:, None] + 0.5
    columns = torch.arange(width, device=boxes.device) + 0.5
    return (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)


def invert(theta: Tensor) -> Tensor:
    """The inverse maps of theta [..., 2, 3]: input to output. Those of singular maps are not finite."""
    (a, b, x), (c, d, y) = (row.unbind(-1) for row in theta.unbind(-2))
    determinant = a * d - b * c
    entries = (d, -b, b * y - d * x, -c, a, c * x - a * y)
    return (torch.stack(entries, dim=-1) / determinant[..., None]).unflatten(-1, (2, 3))


def warp_boxes(
    boxes: Tensor,
    theta: Tensor,
    sizes: Tensor | None,
    height: int,
    width: int,
    rule: BoxRule = "ellipse",
) -> tuple[Tensor, Tensor]:
    """Where boxes lie after `warp` by theta, as boxes again, and how much of each is still in the picture.

    A box becomes a parallelogram, of which the part inside the picture is taken first and its hull then: hull first
    and clipped after, boxes that reach beyond the border come out too large.

    Args:
        boxes: floating [B, M, 4].
        theta: floating [B, 2, 3], output to input, as from `compose`. Gradients reach it, and the boxes.
        sizes: integer [B, 2], height and width of each picture in pixels; None: the canvas.
        height: of the canvas, in pixels.
        width: of the canvas, in pixels.
        rule: "hull": the smallest box around the visible part. "ellipse": around the ellipse inscribed in the box,
            which is nearer to most objects, since few fill their box's corners; within the hull.

    Returns:
        Boxes [B, M, 4] and the visible share [B, M], the part of the parallelogram's area inside the picture, 0..1.
        A box of which nothing is visible is empty, its share 0, as is that of a box without area.

    Raises:
        TypeError, ValueError: shapes and dtypes that are not as said, an unknown rule.
    """
    if rule not in ("ellipse", "hull"):
        raise ValueError(f"rule must be 'ellipse' or 'hull', got {rule!r}")
    if boxes.ndim != 3 or boxes.shape[2] != 4 or not boxes.is_floating_point():
        raise ValueError(f"boxes must be floating [B, M, 4], got {boxes.dtype} {list(boxes.shape)}")
    if theta.shape != (len(boxes), 2, 3):
        raise ValueError(f"theta must be [{len(boxes)}, 2, 3] for these boxes, got {list(theta.shape)}")
    dtype = torch.promote_types(boxes.dtype, theta.dtype)
    heights, widths = _sides(sizes, theta.to(dtype), height, width)
    limit = torch.stack([widths, heights], dim=-1)  # [B, 1, 2]
    corners = _moved_corners(boxes.to(dtype), invert(theta.to(dtype)), height, width)
    low, high = _hull(corners, limit)
    if rule == "ellipse":
        middle = corners.mean(dim=2)
        half_axes = torch.stack([corners[:, :, 1] - corners[:, :, 0], corners[:, :, 3] - corners[:, :, 0]]) / 2
        radius = torch.linalg.vector_norm(half_axes, dim=0)  # which has a gradient at 0
        low, high = torch.maximum(low, middle - radius), torch.minimum(high, middle + radius)
    share = _visible_share(corners, limit)
    box = torch.cat([low, torch.maximum(low, high)], dim=2)
    return torch.where(share[..., None] > 0, box, 0), share


def _sides(sizes: Tensor | None, like: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Height and width of each picture: [B, 1] each."""
    if sizes is None:
        return like.new_full((len(like), 1), height), like.new_full((len(like), 1), width)
    check_sizes(sizes, len(like), height, width)
    heights, widths = sizes.to(like.dtype).split(1, dim=1)
    return heights, widths


def _product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b of small matrices in full precision, which a GPU's matrix units, or autocast, would cut short."""
    return (a[..., :, :, None] * b[..., None, :, :]).sum(dim=-2)


def _on_canvas(linear: Tensor, offset: Tensor, down: Tensor, across: Tensor) -> tuple[Tensor, Tensor]:
    """A map in a picture's coordinates as one in its canvas's, of whose sides it takes the shares [B, 1].

    A position u of the picture is s u + s - 1 on the canvas, s being the share.
    """
    share = torch.stack([across, down], dim=1)  # [B, 2, 1]: x, y
    linear = linear * share / share.mT
    return linear, share * offset + (share - 1) - _product(linear, share - 1)


def _moved_corners(boxes: Tensor, forward: Tensor, height: int, width: int) -> Tensor:
    """The corners of boxes [B, M, 4], in order around them, under maps from input to output: [B, M, 4, 2] in pixels."""
    x, y = boxes[..., [0, 2, 2, 0]], boxes[..., [1, 1, 3, 3]]
    places = torch.stack([x * (2 / width) - 1, y * (2 / height) - 1], dim=-1)[..., None]
    forward = forward[:, None, None]
    column, row = (_product(forward[..., :2], places) + forward[..., 2:]).squeeze(-1).unbind(-1)
    return torch.stack([(column + 1) * (width / 2), (row + 1) * (height / 2)], dim=-1)


def _hull(corners: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
    """The extent of what of parallelograms [B, M, 4, 2] lies in 0..limit, limit [B, 1, 2]: lowest and highest (x, y).

    Along one axis it is the extent of the part within the other axis's limits, cut to its own: the projection of what
    is convex is an interval. Where nothing is inside, the two mean nothing.
    """
    step = corners.roll(-1, dims=2) - corners
    start, end = _inside(corners.flip(-1), step.flip(-1), limit.flip(-1)[:, :, None])
    ends = torch.cat([corners + start * step, corners + end * step], dim=2)
    outside = (start > end).repeat(1, 1, 2, 1)
    infinity = torch.finfo(corners.dtype).max
    low, high = torch.where(outside, infinity, ends).amin(2), torch.where(outside, -infinity, ends).amax(2)
    return low.clamp(min=0), torch.minimum(high, limit.expand_as(high))


def _inside(place: Tensor, step: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
    """From which to which share of a step from a place each coordinate is in 0..limit.

    Where it never is, the first is larger.
    """
    first, second = _crossings(place, step, limit)
    is_still = step == 0
    never = is_still & ((place < 0) | (place > limit))
    start = torch.where(is_still, 0, torch.minimum(first, second)).clamp(min=0)
    end = torch.where(is_still, 1, torch.maximum(first, second)).clamp(max=1)
    return torch.where(never, 2, start), end


def _crossings(place: Tensor, step: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
    """At which share of a step from a place 0 and the limit are reached; 0 where there is no step."""
    moving = torch.where(step == 0, torch.ones_like(step), step)
    return (0 - place) / moving, (limit - place) / moving


def _visible_share(corners: Tensor, limit: Tensor) -> Tensor:
    """The share of parallelograms' [B, M, 4, 2] area in 0..limit, limit [B, 1, 2].

    The outline is moved to the nearest place inside, its area is then that of the part inside: what was outside lies
    flat on the border. To be exact, edges are cut where they cross a limit.
    """
    following = corners.roll(-1, dims=2)
    step = following - corners
    cuts = torch.cat(_crossings(corners, step, limit[:, :, None]), dim=-1).clamp(0, 1).sort(dim=-1).values
    points = corners[:, :, :, None] + cuts[..., None] * step[:, :, :, None]
    outline = torch.cat([corners[:, :, :, None], points], dim=3).flatten(2, 3)
    outline = torch.minimum(outline.clamp(min=0), limit[:, :, None])
    whole = _area(corners)
    return torch.where(whole > 0, _area(outline) / torch.where(whole > 0, whole, 1), 0).clamp(0, 1)


def _area(outline: Tensor) -> Tensor:
    """Of polygons [B, M, N, 2]: the shoelace formula."""
    following = outline.roll(-1, dims=2)
    return (outline[..., 0] * following[..., 1] - outline[..., 1] * following[..., 0]).sum(dim=2).abs() / 2
