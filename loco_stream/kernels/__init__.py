"""Compiled parts of the simulator, one concept a file: synapses, neurons, queue, event loop, and what packs them."""
