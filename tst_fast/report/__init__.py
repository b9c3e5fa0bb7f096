"""What a run tells: on the terminal, in its folder, in pictures."""
