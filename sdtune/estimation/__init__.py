"""What a run takes, counted before it is started."""
