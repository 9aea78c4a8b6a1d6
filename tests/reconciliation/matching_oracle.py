"""The matcher as slow and obvious Python, written from the rules: the referee of every engine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from hutong.reconciliation.layers import LayerDefinition

Row = dict[str, Any]
FIGURES = [
    "kind",
    "key",
    "channel_no",
    "original_key",
    "day",
    "at",
    "currency",
    "ordered",
    "paid",
    "settled",
    "fee",
    "state",
    "batch",
]


@dataclass
class Answer:
    """The results of a layer, each in its order."""

    matched: list[tuple[Any, ...]] = field(default_factory=list)
    differences: list[tuple[Any, ...]] = field(default_factory=list)
    carry_ours: list[Row] = field(default_factory=list)
    carry_theirs: list[Row] = field(default_factory=list)


@dataclass
class Case:
    side: str
    key: str
    klass: str
    column: str
    currency: str
    amount: int
    ours: list[Row]
    theirs: list[Row]


class Oracle:
    """One layer of one day."""

    def __init__(self, layer: LayerDefinition, day: date, rolls: int, ours: list[Row], theirs: list[Row]) -> None:
        self.layer, self.day = layer, day
        self.rolls = rolls if layer.rolls else 0
        mine = [row for row in ours if row["kind"] in layer.kinds]
        self.before = [row for row in mine if row["state"] == "matched"]
        self.ours = self.without_matched_before([row for row in mine if row["state"] != "matched"])
        self.theirs = [dict(row) for row in theirs if row["kind"] in layer.kinds]
        self.pairs: list[tuple[Row, Row, str]] = []
        self.cases: list[Case] = []
        self.done: set[int] = set()

    def answer(self) -> Answer:
        self.give_groups()
        self.without_reversed()
        if self.layer.group:
            self.compare_groups()
        else:
            for group in sorted({row["g"] for row in (*self.ours, *self.theirs)}):
                self.compare(
                    [row for row in self.ours if row["g"] == group], [row for row in self.theirs if row["g"] == group]
                )
        self.singles()
        return self.result()

    # --- the rows

    def without_matched_before(self, rows: list[Row]) -> list[Row]:
        """A row that was matched within the margin of the day before does not count again on its own day."""

        def same(a: Row, b: Row) -> bool:
            names = ("kind", self.layer.key, self.layer.second_key, "day", "currency", "ordered", "paid", "settled")
            return all(a[name] == b[name] for name in (*names, "fee", "batch"))

        left = [dict(row) for row in sorted(rows, key=order)]
        for before in self.before:
            for row in left:
                if row["state"] == "succeeded" and same(row, before):
                    left.remove(row)
                    break
        return left

    def give_groups(self) -> None:
        key, second = self.layer.key, self.layer.second_key

        def kind(a: Row, b: Row) -> bool:
            return self.layer.group or a["kind"] == b["kind"]

        for rows, others, name in ((self.ours, self.theirs, "o"), (self.theirs, self.ours, "t")):
            for row in rows:
                if row[key]:
                    row["shown"], row["how"] = row[key], "k"
                    continue
                if row[second]:
                    keys = {
                        other[key]
                        for other in others
                        if other[key]
                        and other[second] == row[second]
                        and kind(row, other)
                        and not any(mine[key] == other[key] and kind(mine, other) for mine in rows)
                    }
                    row["shown"], row["how"] = (keys.pop(), "k") if len(keys) == 1 else (row[second], "s")
                    continue
                row["how"] = "r"
                names = [
                    "day",
                    "at",
                    "currency",
                    "ordered",
                    "paid",
                    "settled",
                    "state",
                    "original_key",
                    "batch",
                    "memo",
                ]
                texts = [str(row[name]) for name in names if row[name] is not None]
                known = row["at"] or row["original_key"] or row["batch"] or row["memo"]
                text = "|".join(texts if known else [*texts, str(row["file"]), str(row["line"])])
                row["shown"] = hashlib.md5(text.encode()).hexdigest()[:16]
                if not known:
                    row["shown"] = f"{name}:{row['shown']}"
        for row in (*self.ours, *self.theirs):
            row["g"] = ("" if self.layer.group else row["kind"], row["how"], row["shown"])

    def without_reversed(self) -> None:
        """A refund of ours that failed again is nothing where theirs states no money for it."""
        if "refund_failure" not in self.layer.kinds:
            return
        stated = {row["shown"] for row in self.theirs if row["state"] != "failed"}
        booked = [row for row in sorted(self.ours, key=order) if row["state"] == "succeeded" and row["day"] <= self.day]
        for refund in [row for row in booked if row["kind"] == "refund" and row["shown"] not in stated]:
            for failure in [row for row in booked if row["kind"] == "refund_failure"]:
                same = all(refund[name] == failure[name] for name in ("shown", "currency"))
                if same and refund[self.money] == -failure[self.money] and any(failure is row for row in self.ours):
                    self.ours = [row for row in self.ours if row is not refund and row is not failure]
                    break

    # --- the rules

    def net(self, row: Row, fee: int | None = None) -> int:
        money = row[self.money]
        if "fee" in self.layer.compared:
            money -= (fee if fee is not None else row["fee"]) or 0
        return int(money)

    @property
    def money(self) -> str:
        return next((name for name in ("settled", "ordered", "paid") if name in self.layer.compared), "settled")

    def column(self, o: Row, t: Row, *, exactly: bool = False) -> str | None:
        """The first column that differs, by more than is let pass."""
        for name in self.layer.compared:
            tolerance = 0 if exactly else self.layer.tolerance.get(name, 0)
            if name == "state":
                continue
            if name == "fee":
                if o["fee"] is not None and abs(o["fee"] - (t["fee"] or 0)) > tolerance:
                    return name
            elif isinstance(o[name], int):
                if abs(o[name] - t[name]) > tolerance:
                    return name
            elif o[name] != t[name]:
                return name
        return None

    def pair(self, o: Row, t: Row, quality: str) -> None:
        self.pairs.append((o, t, quality))
        self.done |= {id(o), id(t)}

    def compare(self, ours: list[Row], theirs: list[Row]) -> None:
        states = "state" in self.layer.compared
        booked = [row for row in ours if not states or row["state"] == "succeeded"]
        stated = [row for row in theirs if not states or row["state"] in ("succeeded", "pending")]
        for known in (True, False):
            self.by_count(
                [o for o in booked if "fee" not in self.layer.compared or (o["fee"] is not None) == known], stated
            )
        if any(self.layer.tolerance.values()):
            self.alone_within_tolerance(self.free(booked), self.free(stated))
        differing: list[tuple[Row, Row, str]] = []

        def by_money(row: Row) -> Any:
            return (row["currency"], row[self.money], row["fee"] or 0, order(row))

        def in_turn(left: list[Row], right: list[Row]) -> None:
            left, right = sorted(self.free(left), key=by_money), sorted(self.free(right), key=by_money)
            for o, t in zip(left, right, strict=False):
                column = self.column(o, t)
                if column:
                    differing.append((o, t, column))
                    self.done |= {id(o), id(t)}
                else:
                    self.pair(o, t, "tolerated")

        if "currency" in self.layer.compared:
            for currency in ("CNY", "USD"):
                in_turn(
                    [o for o in booked if o["currency"] == currency], [t for t in stated if t["currency"] == currency]
                )
        in_turn(booked, stated)
        if states:
            other = [row for row in ours if row["state"] != "succeeded"]
            for left, right in (
                (other, [row for row in theirs if row["state"] == "succeeded"]),
                (booked, [row for row in theirs if row["state"] == "failed"]),
            ):
                for o, t in zip(sorted(self.free(left), key=order), sorted(self.free(right), key=order), strict=False):
                    differing.append((o, t, "state"))
                    self.done |= {id(o), id(t)}
        self.mismatches(differing)

    def free(self, rows: list[Row]) -> list[Row]:
        return [row for row in rows if id(row) not in self.done]

    def by_count(self, ours: list[Row], theirs: list[Row]) -> None:
        """Equal rows are interchangeable: the first of ours gets the first of theirs."""
        ours, theirs = sorted(self.free(ours), key=order), sorted(self.free(theirs), key=order)

        def equal(a: Row, b: Row) -> bool:
            return self.column(a, b, exactly=True) is None

        counts = [(o, sum(self.same(o, other) for other in ours)) for o in ours]
        equals = {id(o): [t for t in theirs if equal(o, t)] for o in ours}
        for o, count in counts:
            found = self.free(equals[id(o)])
            if found:
                twin = count > 1 or len(equals[id(o)]) > 1
                self.pair(o, found[0], "twin" if twin else "exact" if o["day"] == found[0]["day"] else "cross_day")

    def same(self, a: Row, b: Row) -> bool:
        return all(a[name] == b[name] for name in self.layer.compared if name != "state")

    def alone_within_tolerance(self, ours: list[Row], theirs: list[Row]) -> None:
        fits = [(o, t) for o in ours for t in theirs if self.column(o, t) is None]
        for o, t in fits:
            if sum(a is o for a, _ in fits) == 1 and sum(b is t for _, b in fits) == 1:
                self.pair(o, t, "tolerated")

    def mismatches(self, differing: list[tuple[Row, Row, str]]) -> None:
        numbers: dict[str, int] = {}
        for o, t, column in sorted(differing, key=lambda d: (place(d[0]), place(d[1]))):
            numbers[column] = numbers.get(column, 0) + 1
            key = shown(o) + (f"#{numbers[column]}" if numbers[column] > 1 else "")
            states = "state" in self.layer.compared
            net_o = self.net(o, o["fee"] if o["fee"] is not None else t["fee"])
            net_o = net_o if o["state"] == "succeeded" or not states else 0
            net_t = self.net(t) if t["state"] != "failed" or not states else 0
            if column == "currency":
                self.cases.append(Case("ours", key, "mismatch", column, o["currency"], -net_o, [o], [t]))
                self.cases.append(Case("theirs", key, "mismatch", column, t["currency"], net_t, [o], [t]))
            else:
                self.cases.append(Case("both", key, "mismatch", column, t["currency"], net_t - net_o, [o], [t]))

    def compare_groups(self) -> None:
        """Compare sums: without the rows of the day after, then with them."""
        ours = [row for row in self.ours if row["state"] == "succeeded"]
        theirs = [row for row in self.theirs if row["state"] == "succeeded"]
        today = [row for row in ours if row["day"] <= self.day]
        keys = sorted({(row["g"], row["currency"]) for row in (*ours, *theirs)})

        def of(rows: list[Row], key: Any) -> list[Row]:
            return sorted((row for row in self.free(rows) if (row["g"], row["currency"]) == key), key=order)

        for rows in (today, ours):
            for key in keys:
                left, right = of(rows, key), of(theirs, key)
                if left and right and self.column(total(left), total(right)) is None:
                    one = len(left) == len(right) == 1
                    exact = self.column(left[0], right[0], exactly=True) is None
                    same_day = "exact" if left[0]["day"] == right[0]["day"] else "cross_day"
                    quality = "group" if not one else same_day if exact else "tolerated"
                    for t in right:
                        self.pair(left[0], t, quality)
                    self.done |= {id(o) for o in left}
                    self.early = getattr(self, "early", []) + [o for o in left if o["day"] > self.day]
        left_over = {(key, side): of(rows, key) for key in keys for side, rows in (("o", today), ("t", theirs))}
        for key in keys:
            left, right = left_over[key, "o"], left_over[key, "t"]
            if left and right:
                o, t = total(left), total(right)
                fee = o["fee"] if o["fee"] is not None else t["fee"]
                amount = self.net(t) - self.net(o, fee)
                column = self.column(o, t)
                assert column
                self.cases.append(Case("both", left[0]["shown"], "mismatch", column, key[1], amount, left, right))
                self.done |= {id(row) for row in (*left, *right)}
        for side, name, other, sign in (("ours", "o", "t", -1), ("theirs", "t", "o", 1)):
            for group in sorted({key[0] for key in keys}):
                mine = [key for key in keys if key[0] == group and left_over[key, name] and not left_over[key, other]]
                foreign = any(left_over[key, other] for key in keys if key[0] == group)
                for number, key in enumerate(mine if foreign else []):
                    rows = left_over[key, name]
                    text = rows[0]["shown"] + (f"#{number + 1}" if number else "")
                    amount = sign * self.net(total(rows))
                    both: tuple[list[Row], list[Row]] = (rows, []) if name == "o" else ([], rows)
                    self.cases.append(Case(side, text, "mismatch", "currency", key[1], amount, *both))
                    self.done |= {id(row) for row in rows}

    def singles(self) -> None:
        alone_ours = [row for row in self.free(self.ours) if row["state"] == "succeeded" and row["day"] <= self.day]
        alone_theirs = [row for row in self.free(self.theirs) if row["state"] == "succeeded"]
        keys_alone = {(row["kind"], row["channel_no"], row["key"]) for row in alone_theirs}
        numbers = {
            (row["kind"], row["channel_no"])
            for row in self.theirs
            if row["state"] == "succeeded" and (row["kind"], row["channel_no"], row["key"]) not in keys_alone
        }

        def posted_twice(row: Row) -> bool:
            known = row["kind"] in ("payment", "payout") and row["channel_no"] and not self.layer.group
            return bool(known) and (row["kind"], row["channel_no"]) in numbers

        self.one_sided("ours", alone_ours, self.theirs, "double_posting", "missing", -1, posted_twice)
        self.one_sided("theirs", alone_theirs, self.ours, "duplicate", "unexpected", 1, lambda _: False)

    def one_sided(
        self, side: str, rows: list[Row], others: list[Row], excess: str, alone: str, sign: int,
        more: Callable[[Row], bool],
    ) -> None:  # fmt: skip
        numbers: dict[str, int] = {}
        keys = {(row["g"], shown(row), row["currency"]) for row in rows}
        for key in sorted(keys, key=lambda key: (key[1], key[2], key[0])):
            mine = sorted((row for row in rows if (row["g"], shown(row), row["currency"]) == key), key=order)
            known = not self.layer.group and any(other["g"] == key[0] for other in others)
            if known or any(row["waits"] == excess or more(row) for row in mine):
                klass = excess
            elif min(row["day"] for row in mine) + timedelta(days=self.rolls) > self.day:
                klass = "pending"
            else:
                klass = alone
            numbers[key[1]] = numbers.get(key[1], 0) + 1
            text = key[1] if numbers[key[1]] == 1 else f"{key[1]}#{numbers[key[1]]}"
            amount = sign * sum(self.net(row) for row in mine)
            both: tuple[list[Row], list[Row]] = (mine, []) if side == "ours" else ([], mine)
            self.cases.append(Case(side, text, klass, "", key[2], amount, *both))

    # --- the results

    def result(self) -> Answer:
        answer = Answer(matched=sorted(matched_row(o, t, quality) for o, t, quality in self.pairs))
        answer.matched.sort(key=lambda row: (row[6], row[2], row[3], row[7], row[4], row[5], row[0]))
        answer.differences = sorted(
            (difference(case) for case in self.cases), key=lambda row: (row[2], row[0], row[1], row[3])
        )
        if not self.layer.rolls:
            return answer
        early = [o for o, _, _ in self.pairs if o["day"] > self.day] + getattr(self, "early", [])
        early = list(
            {id(row): {**row, "state": "matched", "waits": "", "side": "", "case": ""} for row in early}.values()
        )
        early += [row for row in self.before if row["day"] > self.day]
        waiting = [(row, case) for case in self.cases for row in case.ours]
        answer.carry_ours = unique(
            [named(row, case) for row, case in waiting if row["day"] <= self.day and row["state"] == "succeeded"]
            + early
        )
        failed = {row["g"] for row in self.ours if row["state"] == "failed"}
        silent = [row for row in self.free(self.theirs) if row["state"] == "pending" and row["g"] not in failed]
        answer.carry_theirs = unique(
            [named(row, case) for case in self.cases for row in case.theirs]
            + [{**row, "waits": "", "side": "", "case": ""} for row in silent]
        )
        return answer


def named(row: Row, case: Case) -> Row:
    return {**row, "waits": case.klass, "side": case.side, "case": case.key}


def unique(rows: list[Row]) -> list[Row]:
    """A row of two cases, one for each currency, waits under the first."""
    found: dict[Any, Row] = {}
    for row in sorted(rows, key=order):
        found.setdefault((order(row), row["key"], row["state"]), row)
    return sorted(found.values(), key=lambda row: (order(row), row["key"]))


def order(row: Row) -> Any:
    at = row["at"]
    return (
        row["day"], row["file"], row["line"], row["channel_no"], at is None, at or "", row["memo"], row["merchant"],
        row["reference"],
    )  # fmt: skip


def place(row: Row) -> Any:
    return (row["day"], row["file"], row["line"])


def shown(row: Row) -> str:
    return str(row["shown"]) + ("/refund_failure" if row["kind"] == "refund_failure" else "")


def total(rows: Sequence[Row]) -> Row:
    found = dict(rows[0])
    for name in ("ordered", "paid", "settled"):
        found[name] = sum(row[name] for row in rows)
    fees = [row["fee"] for row in rows if row["fee"] is not None]
    found["fee"] = sum(fees) if fees else None
    return found


def matched_row(o: Row, t: Row, quality: str) -> tuple[Any, ...]:
    return (
        o["shown"], quality, o["file"], o["line"], t["file"], t["line"], o["day"], t["day"], t["currency"],
        t["ordered"], t["paid"], t["settled"], t["fee"], o["merchant"], o["reference"], t["batch"], t["settle_day"],
        o["kind"],
    )  # fmt: skip


def figures(row: Row, names: Sequence[str]) -> str:
    return json.dumps(
        {name: str(row[name]) if name in ("day", "at") and row[name] else row[name] for name in names},
        separators=(",", ":"),
    )


def difference(case: Case) -> tuple[Any, ...]:
    def both(rows: list[Row]) -> tuple[str | None, str]:
        if not rows:
            return None, ""
        full = [figures(row, [*FIGURES, "file", "line"]) for row in sorted(rows, key=order)]
        return f"[{','.join(full)}]", ",".join(sorted(figures(row, FIGURES) for row in rows))

    (ours, figures_ours), (theirs, figures_theirs) = both(case.ours), both(case.theirs)
    reference = min((row["reference"] for row in case.ours if row["reference"]), default="")
    content = hashlib.sha256(f"{figures_ours}|{figures_theirs}".encode()).hexdigest()
    day = min(row["day"] for row in (*case.ours, *case.theirs))
    return (
        case.side, case.key, case.klass, case.column, case.currency, case.amount, ours, theirs, reference, day, content
    )  # fmt: skip
