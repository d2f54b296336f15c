"""A page in the browser that draws with a base and adapters, on this machine alone."""
