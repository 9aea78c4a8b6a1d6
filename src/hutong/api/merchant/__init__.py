"""Routes for merchants."""
