"""Customers of merchants: their names and pictures.

Promises: each change of a profile emits one event, `customer.updated`; a repetition changes nothing and emits none.
"""

from hutong.customers.model import Customer, CustomerProfile, PutCustomer
from hutong.customers.profiles import (
    CUSTOMER_UPDATED,
    customer_document,
    find_customer,
    put_customers,
    stream_customers,
)

__all__ = [
    "CUSTOMER_UPDATED",
    "Customer",
    "CustomerProfile",
    "PutCustomer",
    "customer_document",
    "find_customer",
    "put_customers",
    "stream_customers",
]
