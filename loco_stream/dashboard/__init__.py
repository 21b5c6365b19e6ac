"""A live page of a running engine.

One server thread, one stream of events, no request to anywhere else.
"""

from loco_stream.dashboard.server import Dashboard

__all__ = ["Dashboard"]
