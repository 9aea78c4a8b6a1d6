-- depends: channels-0002.codes db-0005.parts

-- Only commands make and change accounts at channels: who writes their credentials decides where money goes.
REVOKE INSERT ON channels.account FROM hutong_app;
REVOKE UPDATE (enabled, credentials_sealed, version, updated_at) ON channels.account FROM hutong_app;
GRANT INSERT ON channels.account TO hutong_console;
GRANT UPDATE (enabled, credentials_sealed, version, updated_at) ON channels.account TO hutong_console;

-- Keys that a channel signs with, which a process has fetched and verified, for the others and for the time after a restart.
-- They are sealed like credentials: who can write this table alone cannot make us believe a forger. They hold for one
-- version of the account, since other credentials may belong to another one at the channel.
CREATE TABLE channels.adopted_key (
    account_id uuid NOT NULL REFERENCES channels.account,
    key_id text NOT NULL CHECK (char_length(key_id) BETWEEN 1 AND 64),
    version bigint NOT NULL,
    pem_sealed bytea NOT NULL,
    adopted_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, key_id)
);
GRANT SELECT, INSERT ON channels.adopted_key TO hutong_app;
GRANT UPDATE (version, pem_sealed, adopted_at) ON channels.adopted_key TO hutong_app;
