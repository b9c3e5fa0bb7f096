"""Faults of the kernels' launches, of the draw, and of the plain definition."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    Mutant(
        "a kernel is launched on addresses that it was not compiled for",
        "kernels/tst_kernels/fused/launcher.py",
        "one.data_ptr() % _ALIGNMENT",
        "0",
        "kernels/test_launches.py::test_it_is_searched_for_anew_where_anything_differs_that_it_may_be_compiled_for",
    ),
    Mutant(
        "a kernel is launched with whole numbers that it was not compiled for",
        "kernels/tst_kernels/fused/launcher.py",
        "key = kernel.fn, alike, constants",
        "key = kernel.fn, alike",
        "kernels/test_launches.py::test_it_is_searched_for_anew_where_anything_differs_that_it_may_be_compiled_for",
    ),
    Mutant(
        "every kernel is searched for at every launch",
        "kernels/tst_kernels/fused/launcher.py",
        "    known = compiled.get(key)",
        "    known = None",
        "kernels/test_launches.py::test_a_kernel_is_searched_for_once_for_arguments_alike",
    ),
    Mutant(
        "small images take a launch more",
        "kernels/tst_kernels/fused/launch.py",
        "    if stripes > 1:\n",
        "    if stripes > 0:\n",
        "kernels/test_launches.py::test_launches_of_one_mix",
    ),
    Mutant(
        "the result is not written to out",
        "kernels/tst_kernels/operators.py",
        "channels_last, geometry, sizes, out)",
        "channels_last, geometry, sizes)",
        "kernels/test_triton_interpreter.py::TestMix::test_results_written_to_half_a_batch",
    ),
    Mutant(
        "a relaxed gate's derivative lacks the temperature",
        "tst_fast/policy/chosen.py",
        "_sigmoid_backward(of_gates, gates) / ctx.temperature",
        "_sigmoid_backward(of_gates, gates)",
        "tst_fast/policy/test_draw.py::test_gradients_by_their_formula",
    ),
    Mutant(
        "a level's derivative lacks its sign",
        "tst_fast/policy/chosen.py",
        "torch.stack([of_gates, of_levels * sign], dim=-1)",
        "torch.stack([of_gates, of_levels], dim=-1)",
        "tst_fast/policy/test_draw.py::test_gradients_by_their_formula",
    ),
    Mutant(
        "images stay in float32 whatever the networks compute in",
        "tst_fast/run/images.py",
        "low = torch.is_autocast_enabled(kind) and not keep_precision",
        "low = False",
        "tst_fast/run/test_images.py::test_under_autocast_they_are_what_its_first_layers_would_cast_to",
    ),
    Mutant(
        "the augmented half is overwritten by the plain one",
        "tst_fast/run/student.py",
        "normalise(batch.images, *normalisation, out=plain)",
        "normalise(batch.images, *normalisation, out=augmented)",
        "tst_fast/run/test_images.py::test_in_float32_both_halves_have_the_bits_of_images_made_apart",
    ),
    Mutant(
        "smoothing takes the middle row twice",
        "kernels/tst_kernels/reference.py",
        "threes[..., 1:-1, :] + threes[..., 2:, :]",
        "threes[..., 1:-1, :] + threes[..., 1:-1, :]",
        "kernels/test_against_pil.py",
    ),
    Mutant(
        "Solarize's threshold has the opposite derivative",
        "kernels/tst_kernels/reference.py",
        "return (soft - 1) * soft",
        "return (1 - soft) * soft",
        "kernels/test_gradients.py",
    ),
]
