"""What is learned of subjects that settings were not tuned to, and what it costs."""
