"""How far a result may lie from its oracle, and why. One table; no test has a number of its own."""

EIGHT_BIT = 1 / 255
"""PIL computes in whole 8-bit values and truncates: one value."""

WARP = 1e-4
"""torchvision's float warps, in 0..1: the same float32 arithmetic in another order, at positions up to 128 pixels."""

GREY = 2e-4
"""torchvision's Color and Contrast: its weight of red is 0.2989 where PIL's and ours is 0.299 (1e-4 of 0.9 and 1.9)."""

FLOAT32 = 1e-5
"""The same arithmetic in float32 and in another order or precision."""

ROUNDING = {"float16": 2**-10, "bfloat16": 2**-7, "float32": 1e-6, "float64": 1e-12}
"""One rounding of a value up to 2 to the dtype."""

NEAREST_TIES = 0.005
"""Share of pixels that PIL's 16.16 fixed-point positions may round to the other neighbour."""

TRITON_FORWARD = 1e-5
"""The Triton kernels in float32 against float64, relative to the norm: 4e-7 was seen for a warp at 19 pixels and
5e-6 at 224, where a position's rounding (1e-5 of a pixel) counts; at most 1e-7 for the other operations."""

TRITON_PIXEL = 1e-4
"""The same, one pixel, relative to the largest: noise changes by its whole range within one pixel."""

TRITON_GRADIENT = 1e-4
"""Gradients, relative to each one's own size and to the typical one: sums over the image of terms of either sign."""

TRITON_ROUNDING = {"float16": 2**-10, "bfloat16": 2**-7, "float32": TRITON_FORWARD}
"""One rounding of the result. Triton's interpreter cuts bfloat16 off where a GPU rounds."""
