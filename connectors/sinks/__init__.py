"""Sinks, one module each; `loco_stream.connectors.registry` lists them."""
