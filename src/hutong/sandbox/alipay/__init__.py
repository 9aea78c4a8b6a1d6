"""The simulator of Alipay."""
