"""How unusual each value of a stream is, without labels: compiled covers, tails and alarms.

`covers` keeps a bounded set of points near everything seen, `tails` turns a distance from it into a
probability, `columns` joins both for one column, `alarms` decides which rows raise an alarm, and
`step` runs rows in order. `state` holds all numbers.
"""
