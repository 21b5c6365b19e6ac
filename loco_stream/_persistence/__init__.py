"""Checked files: their format, atomic writes, and migrations of files of earlier versions."""
