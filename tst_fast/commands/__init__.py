"""The commands of `tst-fast` other than `train`, a file each."""
