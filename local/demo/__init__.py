"""The demo: the whole main job on the data of a small invented company, with a count of what is left at its end."""
