"""The public estimators and what surrounds a model: inputs, tickets, explanations, files."""
