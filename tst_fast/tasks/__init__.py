"""What is learned from images: the data, and how good a network is at it."""

from tst_fast.tasks.classification import Splits, accuracy, evaluation_loader, load_splits, training_loader

__all__ = ["Splits", "accuracy", "evaluation_loader", "load_splits", "training_loader"]
