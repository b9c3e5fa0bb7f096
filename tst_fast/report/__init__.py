"""Progress and results of a run: on the terminal, in its folder, to trackers, as an HTML report."""
