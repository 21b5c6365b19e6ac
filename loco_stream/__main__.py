"""`python -m loco_stream` is the command `loco-stream`."""

from loco_stream._cli import main

if __name__ == "__main__":
    main(prog_name="loco-stream")
