"""Pictures from settings: a base, adapters of any strength, a prompt and a seed; and back again."""
