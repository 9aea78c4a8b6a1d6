"""The SQL of this package, loaded once."""

from hutong import db

sql = db.load_statements("hutong.reconciliation")
