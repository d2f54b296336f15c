"""What a picture, or a set of them, is worth: a pure function and a thin Metric in each file."""
