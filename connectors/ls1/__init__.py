"""The wire protocol LS1 over ZeroMQ: messages, both ends of a session, sockets, keys."""
