"""The augmentation as Triton kernels: one pass forward, one backward, gradients to everything.

Nothing here is imported before a Triton kernel is asked for, so that `import tst_kernels` needs no Triton.

| file | stage |
| --- | --- |
| `pixels.py` | where a pixel lies in memory, loads and stores, arithmetic on three channels |
| `families.py` | the pixel arithmetic of each family of operations, for the forward and the backward pass |
| `statistics.py` | histograms, mean grey and look-up tables of the images that need them |
| `parameters.py` | level to family parameters, and parameter gradients back to levels |
| `forward.py` | the mix |
| `backward.py` | gradients to parameters and gates |
| `image_gradient.py` | gradients to floating-point images |
| `warp.py` | one affine warp of any tensor, with its gradients |
| `launch.py` | the functions on the host that launch all these |
| `launcher.py` | one launch, without Triton's search where arguments like these were launched before |
"""
