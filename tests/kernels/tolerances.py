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
