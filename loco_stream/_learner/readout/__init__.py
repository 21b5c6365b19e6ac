"""The readout: experts on the traces and features of a row, and how their outputs are combined.

`experts` predict; `stacks` combine their outputs linearly; `mixture` weights all opinions by how
probable they found recent labels; `snapshots` bring back earlier concepts. `ensemble` joins them.
`next_row` adds the evidence of recent labels, of class sizes and of the discriminant; `calibration`
corrects the probabilities. `dormancy` adds the evidence for classes that have long been absent.
`next_value` does as `next_row` for values, `sequences` for rows that share one label.
"""
