"""What several tests share: slow twins of the kernels, a peer written from the protocol page, small models."""
