"""The learner: the estimators, and below them encode -> drive -> spikes -> readout.

Credit -> projection.
"""
