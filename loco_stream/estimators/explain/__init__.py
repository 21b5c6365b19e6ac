"""Explanations of one prediction."""
