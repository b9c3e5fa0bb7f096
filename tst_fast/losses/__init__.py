"""Losses and objectives, as functions of tensors alone."""
