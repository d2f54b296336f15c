"""nano: a complete Stable Diffusion in miniature, and everything that makes it."""
