-- LwM2M: what a device is called and proves itself with, where it is registered, and how far its
-- firmware attempt is with it.

create table lwm2m_account (
    device_id bigint primary key references device (id),
    endpoint text,                              -- null: the IMEI, in one of the usual forms
    psk_identity text,                          -- null: it has no key
    psk_key $BYTES                              -- sealed
);
create index lwm2m_account_endpoint on lwm2m_account (endpoint) where endpoint is not null;
create index lwm2m_account_identity on lwm2m_account (psk_identity) where psk_identity is not null;

create table lwm2m_registration (
    device_id bigint primary key references device (id),
    location text not null unique,
    endpoint text not null,
    address text not null,                      -- host:port; '': over DTLS, where sessions end with us
    identity text not null,                     -- of the DTLS session; '': none
    version text not null,                      -- 1.0, 1.1 or 1.2
    binding text not null,
    queue_mode boolean not null,
    lifetime_s bigint not null,                 -- 0: it never ends
    sms text not null default '',
    objects text not null,                      -- the list, as links
    registered_at bigint not null,
    expires_at bigint                           -- null: never
);

create table lwm2m_attempt (
    attempt_id bigint primary key references attempt (id),
    method text not null default '',            -- push, or the scheme of a pull; '': not begun
    former_result integer not null default 0,   -- that the device showed before we began
    written_at bigint,                          -- since when it has, or fetches, our image
    executes integer not null default 0,        -- how often it was told to update
    accepted boolean not null default false,    -- it took the last of these
    location text not null default '',          -- its registration then: another means a restart
    deferred_until bigint,                      -- its user put the update off
    settled boolean not null default false      -- nothing of ours is left to take back
);

-- Results that came before, of the same device and image: some are worth one more try.
create table lwm2m_setback (
    device_id bigint not null references device (id),
    sha256 text not null,
    result integer not null,
    times integer not null,
    primary key (device_id, sha256, result)
);
