"""Short runs that each show one property; `loco-stream demo NAME` runs them.

Modules without a leading underscore are demos, each with a click command.
"""

if __name__ != "loco_stream.demos":  # under a second name every class would exist twice
    raise ImportError(f"import this package as loco_stream.demos, not as {__name__!r}")

# name -> module and the click command in it
DEMOS = {
    "machine": "loco_stream.demos.machine:command",
    "recurring": "loco_stream.demos.recurring:command",
    "deep": "loco_stream.demos.deep:command",
    "river": "loco_stream.demos.river:command",
    "events": "loco_stream.demos.events:command",
    "watch": "loco_stream.demos.watch:command",
}
