"""report.html: what a run, several, or a comparison found, as one page that needs nothing else."""
