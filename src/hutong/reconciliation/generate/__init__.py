"""Generated business with planted differences of every class, and the answers: for proofs and measurements."""

from hutong.reconciliation.generate.generating import Options, generate
from hutong.reconciliation.generate.model import ACCOUNTS, AccountPlan, AnswerKey, GeneratedFile

__all__ = ["ACCOUNTS", "AccountPlan", "AnswerKey", "GeneratedFile", "Options", "generate"]
