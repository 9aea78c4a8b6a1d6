"""Who takes payments with us: merchants and their API keys."""
