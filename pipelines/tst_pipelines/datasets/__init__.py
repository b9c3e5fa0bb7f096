"""Where images and labels are, before anything is decoded."""
