"""Webhooks: endpoints of merchants, the queue of deliveries, the worker that sends them, signatures."""
