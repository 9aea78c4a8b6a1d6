-- The classical way: one row everybody wants.
CREATE TABLE hot_account (id integer PRIMARY KEY, balance bigint NOT NULL);
CREATE TABLE hot_entry (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account integer, amount bigint, at timestamptz);
INSERT INTO hot_account VALUES (1, 0);
