-- What the network tells of devices, who may tell it, and which devices it found while they wait.

create table operator_token (
    id $ID,
    name text not null,
    token_hash text not null unique,            -- sha256, hex
    created_at bigint not null,
    revoked_at bigint
);
create unique index operator_token_name on operator_token (name) where revoked_at is null;

create table device_network (
    device_id bigint primary key references device (id),
    attached_at bigint,                         -- the latest event of each kind, as it was dated
    detached_at bigint,
    address text not null default '',           -- where notifications over UDP go; '': nobody said
    waking_at bigint                            -- since when an attach waits to be acted upon
);
create index device_network_waking on device_network (waking_at, device_id)
    where waking_at is not null;
