"""Inputs of the estimators: feature slots, categories, tables, warnings about the data."""
