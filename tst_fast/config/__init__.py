"""What a run can be told: the values, how they are read, and what is refused."""
