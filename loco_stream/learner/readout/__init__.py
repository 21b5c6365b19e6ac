"""What is read from the traces.

Members, their stack, the gate between slow and fast, snapshots of old concepts.
"""
