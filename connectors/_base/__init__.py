"""Parts that sources and sinks share; private."""
