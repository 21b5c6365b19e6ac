"""Neuron models: one file each, and a registry that estimator, simulator and queue ask."""
