"""The commands behind `sdtune` and `lightning run`: one file each, with a `main` of its own."""
