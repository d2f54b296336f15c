"""What happens around training: samples, checkpoints, progress. One callback per file."""
