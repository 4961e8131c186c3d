-- LwM2M bootstrap: what a device proves itself with where it asks for its account, and the account that
-- it was given and has not used yet.

create table lwm2m_bootstrap (
    device_id bigint primary key references device (id),
    psk_identity text,                          -- null: it cannot ask over DTLS
    psk_key $BYTES,                             -- sealed
    next_identity text,                         -- of its account from its first handshake with it; null: none waits
    next_key $BYTES,                            -- sealed
    asked_at bigint,                            -- when it asked last; null: never
    said text not null default ''               -- what became of that
);
create index lwm2m_bootstrap_identity on lwm2m_bootstrap (psk_identity) where psk_identity is not null;
create index lwm2m_bootstrap_next on lwm2m_bootstrap (next_identity) where next_identity is not null;
