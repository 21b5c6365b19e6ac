"""What several tests share.

Slow twins of the kernels, a peer written from the protocol page, small models.
"""
