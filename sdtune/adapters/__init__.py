"""What training leaves behind: adapters in a model, and a file per format on the disk."""
