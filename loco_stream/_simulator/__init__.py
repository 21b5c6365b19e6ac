"""The simulator: describe a spiking net, run spikes through it, read the record."""
