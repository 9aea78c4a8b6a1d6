"""The simulator of UnionPay."""
