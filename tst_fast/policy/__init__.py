"""The augmentation policy: what is learned, how it is applied, and the files it is kept in."""
