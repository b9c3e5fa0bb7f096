"""report.html: runs and comparisons on one self-contained page."""
