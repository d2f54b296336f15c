"""Captions for pictures that have none: models that look at them, one a file."""
