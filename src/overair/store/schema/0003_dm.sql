-- OMA-DM: what a device and the server know each other by, and the session that they are in.

create table dm_account (
    device_id bigint primary key references device (id),
    client_name text not null,                  -- the user of the device's credentials
    auth text,                                  -- basic, md5, hmac; null: md5
    secrets $BYTES,                             -- sealed; null: none, and no session
    notify_host text,                           -- where notifications over UDP go
    notify_port integer,
    server_nonce $BYTES,                        -- for our next credentials; the device chose it
    nonces text not null default '{}',          -- JSON: those for the device's
    knowledge text not null default '{}',       -- JSON: what earlier sessions found out
    zero_nonce_session text                     -- was notified with the zero nonce, for this session
);
create index dm_account_client_name on dm_account (client_name);

create table dm_session (
    device_id bigint primary key references device (id),
    session_id text not null,
    state text not null,                        -- JSON: all that the next message needs
    seen_at bigint not null
);
create index dm_session_seen on dm_session (seen_at);

-- Users that do not exist are answered from here, so that it takes as long, and looks the same in
-- every process; there are as many slots as there may be rows.
create table dm_decoy (
    slot integer primary key,
    nonces text not null
);
