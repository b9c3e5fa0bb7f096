"""What every task's loaders are told by the configuration and by Accelerate."""

from accelerate import Accelerator

from tst_fast.config.data import DataConfig
from tst_pipelines import DaliLoader, GpuDecoding, Share
from tst_pipelines.datasets.files import ImageFiles
from tst_pipelines.transforms import PlacingTransform, Transform


def own_share(accelerator: Accelerator, training: bool, seed: int) -> Share:
    """What this process loads."""
    return Share(training, seed, accelerator.process_index, accelerator.num_processes, accelerator.device)


def dali_loader(
    data: DataConfig, dataset: ImageFiles, transform: Transform | PlacingTransform, batch_size: int, share: Share
) -> DaliLoader:
    """DALI's loader, as the configuration says.

    Args:
        data: of the configuration.
        dataset: image files, and their targets.
        transform: what becomes of an image.
        batch_size: of this process.
        share: what this process loads.
    """
    gpu = GpuDecoding(data.hw_decoder_load, data.preallocate_width_hint, data.preallocate_height_hint)
    how = {"threads": data.threads, "prefetch": data.prefetch}
    return DaliLoader(dataset, transform, batch_size, share, **how, gpu_decoding=gpu)
