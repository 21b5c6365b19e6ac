"""How hidden layers learn: perturbation, credit, projection, weight update, bounds."""
