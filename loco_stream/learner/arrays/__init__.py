"""The arrays of a model: their declaration, shapes, allocation, state, scratch and checks."""
