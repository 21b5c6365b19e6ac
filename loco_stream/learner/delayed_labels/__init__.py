"""Rows whose labels come later."""
