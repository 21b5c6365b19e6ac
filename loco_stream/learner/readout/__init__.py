"""The readout: experts on the traces and features of a row, and how their outputs are combined.

`experts` predict; `stacks` combine their outputs linearly; `mixture` weights all opinions by how
probable they found recent labels; `gate` and `snapshots` bring back what was learned earlier;
`calibration` corrects the probabilities last. `ensemble` joins them.
"""
