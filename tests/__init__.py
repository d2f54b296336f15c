"""Tests of sdtune: each stands at the path of the source that it holds."""
