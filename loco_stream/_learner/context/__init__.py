"""What earlier rows leave to a row: traces that carry on, and delays."""
