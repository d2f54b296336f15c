"""Other trainers' settings files, read into recipes."""
