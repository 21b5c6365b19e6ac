"""One model a key: thousands of devices that do not share one concept.

A key belongs to one of 64 key groups; a group is a folder with the models that rest (one SQLite
file) and a write-ahead log of the rows that came since they were stored. A `Host` works on some
groups in one process; a fleet is one host in this process, or several as actors of Ray, and nothing
but `workers` differs.
"""

from loco_stream.fleet.fleet import Fleet

__all__ = ["Fleet"]
