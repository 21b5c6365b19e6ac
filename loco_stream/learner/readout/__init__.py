"""What is read from the traces: members, their stack, the gate between slow and fast, snapshots of old concepts."""
