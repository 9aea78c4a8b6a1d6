"""The composition root: reads the configuration, wires the rest."""
