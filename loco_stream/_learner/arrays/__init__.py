"""The arrays of a model: how they are declared, made, grown, saved and checked."""
