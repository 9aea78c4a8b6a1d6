"""The SQL of this package."""

from hutong import db

sql = db.load_statements("hutong.backup")
