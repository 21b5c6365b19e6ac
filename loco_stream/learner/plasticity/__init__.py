"""How hidden layers learn: perturb, credit, project, change the weights, restrain them."""
