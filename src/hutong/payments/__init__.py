"""The life cycle of payments and attempts."""
