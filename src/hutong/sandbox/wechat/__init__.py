"""The simulator of WeChat Pay."""
