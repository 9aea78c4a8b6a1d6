"""HTTP for merchants and for channel notifications."""
