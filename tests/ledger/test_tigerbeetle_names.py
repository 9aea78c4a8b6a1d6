"""The names, fields and numbers are those of TigerBeetle's own Python client."""

from __future__ import annotations

import dataclasses

import pytest
import tigerbeetle

from hutong import ledger
from hutong.ledger import model

ENUMS = (
    "AccountFlags", "TransferFlags", "AccountFilterFlags", "QueryFilterFlags", "CreateAccountStatus",
    "CreateTransferStatus",
)  # fmt: skip
VALUES = (
    "Account", "Transfer", "CreateAccountResult", "CreateTransferResult", "AccountFilter", "AccountBalance",
    "QueryFilter",
)  # fmt: skip


@pytest.mark.parametrize("name", ENUMS)
def test_every_name_has_the_same_number(name):
    ours, theirs = getattr(model, name), getattr(tigerbeetle, name)
    assert {entry.name: entry.value for entry in ours} == {entry.name: entry.value for entry in theirs}


@pytest.mark.parametrize("name", VALUES)
def test_every_value_has_the_same_fields_in_the_same_order(name):
    ours, theirs = getattr(model, name), getattr(tigerbeetle, name)
    assert [(f.name, f.default) for f in dataclasses.fields(ours)] == [
        (f.name, f.default) for f in dataclasses.fields(theirs)
    ]


def test_as_much_as_possible_and_ids():
    assert model.AMOUNT_MAX == tigerbeetle.AMOUNT_MAX
    ids = [ledger.id() for _ in range(1000)]
    assert ids == sorted(set(ids))
    assert abs((ledger.id() >> 80) - (tigerbeetle.id() >> 80)) < 1000
