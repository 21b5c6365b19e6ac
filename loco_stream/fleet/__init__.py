"""One model per key, for thousands of devices that do not share a concept.

A key belongs to one of 64 key groups. A group is a directory with the stored models (one SQLite
file) and a write-ahead log of the rows learned since they were stored. A shard works on some groups
in one process. A fleet is one shard in this process, or several shards as Ray actors; only
`workers` differs.
"""

from loco_stream.fleet._fleet import Fleet

__all__ = ["Fleet"]
