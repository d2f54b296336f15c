"""What a picture, or a set of them, is worth: each metric is a file, and a name in the registry."""
