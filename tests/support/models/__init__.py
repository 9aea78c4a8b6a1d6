"""Independent models that the real thing is compared with."""
