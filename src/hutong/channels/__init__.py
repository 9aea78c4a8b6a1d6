"""What a payment channel is, and one file per channel."""
