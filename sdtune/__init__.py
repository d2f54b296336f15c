"""Fine-tune Stable Diffusion to a style or a subject, and measure how well it went."""
