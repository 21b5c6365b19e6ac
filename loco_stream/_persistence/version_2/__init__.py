"""From files of version 2, which release 0.2 wrote, to those of version 3."""
