"""Sinks, one module each; `loco_stream.connectors._registry` lists them."""
