"""What TST-Fast costs, beside what others cost."""
