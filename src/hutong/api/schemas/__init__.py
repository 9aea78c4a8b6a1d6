"""Models of requests, answers and events."""
