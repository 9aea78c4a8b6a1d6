"""Requests and answers as models: they check the requests and describe the API."""

from hutong.api.schemas import refund

__all__ = ["refund"]
