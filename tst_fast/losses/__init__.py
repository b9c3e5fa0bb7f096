"""What is minimised, as functions of tensors alone."""
