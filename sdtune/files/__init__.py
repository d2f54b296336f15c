"""Files that are whole or not there, headers of safetensors files. Nothing here knows a model."""
