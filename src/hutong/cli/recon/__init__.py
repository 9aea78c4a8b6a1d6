"""`hutong recon …`."""
