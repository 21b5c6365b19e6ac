"""A live page of a running engine, and an HTTP API for predictions and labelled rows.

Each is served by one thread. The page sends server-sent events and loads nothing from other hosts.
"""

from loco_stream.dashboard._page import Dashboard

__all__ = ["Dashboard"]
