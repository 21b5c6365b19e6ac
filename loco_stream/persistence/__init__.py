"""Checked files: the format, and what brings files of older versions up to date."""
