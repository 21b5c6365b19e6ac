"""The simulator for everybody: describe a spiking net, run spikes through it, read the record."""
