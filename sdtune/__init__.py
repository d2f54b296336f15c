"""Fine-tune Stable Diffusion to a style or a subject, and measure how well it went."""

__version__ = "0.1.0"
