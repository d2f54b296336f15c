"""A run's page while it trains: rendered from the run's files, served to this machine alone."""
