"""nano: a complete Stable Diffusion in miniature; `making` holds how it came about."""
