"""A run folder in, one page out that opens offline: curves, pictures, figures and plain words."""
