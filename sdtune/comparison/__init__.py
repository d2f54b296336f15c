"""Several techniques or settings on one data set, one budget and one evaluation: one table."""
