"""Several targets on one hidden network: outputs share the projectors and the hidden layers.

A row costs one forward pass and one step of each projector, whatever the number of targets. Each
target has its own readout weights, stack, statistics and residuals.
"""
