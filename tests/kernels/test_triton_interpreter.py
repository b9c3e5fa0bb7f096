"""The Triton kernels on the CPU, in Triton's interpreter, against the reference in float64."""

from tests.kernels.triton_cases import interpreted
from tests.kernels.triton_table import MixTable, ParametersTable, WarpTable


@interpreted
class TestMix(MixTable):
    device = "cpu"


@interpreted
class TestParameters(ParametersTable):
    device = "cpu"


@interpreted
class TestWarp(WarpTable):
    device = "cpu"
