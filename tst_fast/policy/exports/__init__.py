"""Templates of `tst-fast export`: each is a whole file, in which the lines between the marks are replaced."""
