"""The learning rule, one file a concept: perturb, credit, project, update; `loco` joins them for a layer."""
