"""What only a GPU can show, then the table of every device: in this order, as the GPU benchmark has little time."""

import pytest
import torch

from tests.kernels.triton_cases import floats, in_layout, move, on_cuda, random_draw
from tests.kernels.triton_table import MixTable, ParametersTable, WarpTable
from tst_kernels import mix
from tst_kernels.fused import launch, launcher


@on_cuda
class TestOnAGpu:
    def test_auto_is_triton(self):
        images, draw = in_layout("nhwc", 2, 9, 10).to("cuda"), move(random_draw(2, 3), "cuda")
        assert torch.equal(mix(images, draw), mix(images, draw, backend="triton"))

    @pytest.mark.parametrize("layout", ["packed", "nhwc", "nchw"])
    def test_a_layout_known_at_compile_time_gives_the_bits_of_one_that_is_not(self, layout, monkeypatch):
        images, draw = in_layout(layout, 8, 37, 50).to("cuda"), move(random_draw(8, 6, seed=3), "cuda")
        results = []
        for most in (16, 0):
            monkeypatch.setattr(launcher, "compiled", {})
            monkeypatch.setattr(launch, "_specialised", {})
            monkeypatch.setattr(launch, "_MOST_SPECIALISED", most)
            result = mix(images, draw, (0.5, 0.4, 0.3), backend="triton")
            gradients = torch.autograd.grad(result.square().sum(), (draw.levels, draw.gates))
            results.append((result.detach(), *gradients))
        assert all(torch.equal(known, unknown) for known, unknown in zip(*results, strict=True))

    @pytest.mark.parametrize("is_float", [True, False])
    def test_captured_in_a_cuda_graph(self, is_float):
        """Forward and backward: a capture fails where the host waits for the device."""
        images = floats(3, 3, 33, 40).float() if is_float else in_layout("packed", 3, 33, 40)
        images = images.to("cuda").requires_grad_(is_float)
        draw = move(random_draw(3, 6, seed=2), "cuda")
        inputs = [draw.levels, draw.gates, *([images] if is_float else [])]

        def step():
            result = mix(images, draw, (0.5, 0.4, 0.3), backend="triton")
            return result, *torch.autograd.grad(result.square().sum(), inputs)

        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            expected = step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = step()
        for _ in range(2):
            graph.replay()
        torch.cuda.synchronize()
        assert all(torch.equal(first, second) for first, second in zip(captured, expected, strict=True))


@on_cuda
class TestMix(MixTable):
    device = "cuda"


@on_cuda
class TestParameters(ParametersTable):
    device = "cuda"


@on_cuda
class TestWarp(WarpTable):
    device = "cuda"
