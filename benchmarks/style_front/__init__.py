"""What a style costs: style score and CLIP score of ways to train a LoRA, see README.md."""
