"""`hutong routing …`."""
