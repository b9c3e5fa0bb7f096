# TST-Fast for a host with NVIDIA's driver (CUDA 13) and its container toolkit:
#
#     docker build --tag tst-fast .
#     mkdir --parents runs && chmod a+rwx runs
#     docker run --gpus all --ipc host --volume IMAGES:/data:ro --volume "$PWD/runs:/work/runs" tst-fast \
#         --mixed_precision bf16 tst_fast/train.py --config folder --data.root /data
#
# PyTorch's wheels bring their own CUDA, so that a plain Python image is enough; gcc is for Triton and torch.compile.
FROM python:3.13-slim-trixie

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /work

COPY setup.py pyproject.toml README.md ./
COPY kernels kernels
COPY pipelines pipelines
COPY tst_fast tst_fast
# setup.py has the ranges of versions that are tested.
# hadolint ignore=DL3013
RUN pip install --no-cache-dir ./kernels ".[cuda13,detection,smp]"

RUN useradd --create-home --uid 1000 trainer && mkdir runs && chown 1000 runs
USER 1000

# One process for each GPU that the container sees; other commands: --entrypoint tst-fast.
ENTRYPOINT ["accelerate", "launch", "--quiet"]
CMD ["tst_fast/train.py", "--config", "digits"]
