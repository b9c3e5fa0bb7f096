"""The steps of a run, measured whole: `python -m benchmarks.training`."""
