"""A run's folder: what is called how, what was recorded, and how to find and read it again."""
