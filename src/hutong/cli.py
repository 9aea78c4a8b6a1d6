"""The command line: `hutong …`."""
