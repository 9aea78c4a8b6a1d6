-- depends: channels-0003.keys

-- Rows of channels' bills that could not be read, as the channel wrote them. The rest of such a bill is proven by its totals.
CREATE TABLE channels.bill_exception (
    account_id uuid NOT NULL REFERENCES channels.account,
    kind text NOT NULL,
    day date NOT NULL,
    line_no integer NOT NULL CHECK (line_no > 0),
    reason text NOT NULL,
    text text NOT NULL,
    found_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, kind, day, line_no)
);
GRANT SELECT, INSERT ON channels.bill_exception TO hutong_app;
