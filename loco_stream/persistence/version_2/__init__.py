"""Migrations of files of version 2, which release 0.2 wrote, to version 3."""
