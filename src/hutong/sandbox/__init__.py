"""Channel simulators: real protocols, real signatures, faults on request."""
