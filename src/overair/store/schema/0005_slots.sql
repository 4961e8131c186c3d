-- v3: where devices are in the radio network, and in which slot each one begins.

alter table campaign add column auto_assign_licenses boolean not null default false;
alter table campaign add column auto_add_devices boolean not null default false;

-- What devices say of themselves (LwM2M objects and registration) and what the network says.
alter table device_network add column cell text not null default '';    -- mcc-mnc-cell; '': not known
alter table device_network add column signal_dbm integer;
alter table device_network add column bearer integer;
alter table device_network add column located_at bigint;                -- when that was heard
alter table device_network add column reachable boolean;                -- the network's last word
alter table device_network add column reachable_at bigint;
alter table device_network add column registered boolean;               -- null: it never was
alter table device_network add column queue_mode boolean not null default false;
alter table device_network add column lifetime_s bigint not null default 0;
alter table device_network add column heard_at bigint;                  -- its last valid message

-- The place that a device has, or had when its attempt began.
create table slot (
    upgrade_id bigint primary key references device_upgrade (id),
    campaign_id bigint not null references campaign (id),
    cell text not null,
    slot_key bigint not null,                   -- minutes from 1970 to the beginning of the slot
    share bigint not null,                      -- what it takes of the slot (core/slots/occupancy.py)
    starts_at bigint not null,
    ends_at bigint not null,
    begun boolean not null default false        -- spent: it is never given back
);
create index slot_campaign on slot (campaign_id, upgrade_id);

-- What of each cell and slot is taken, by all campaigns.
create table slot_taken (
    cell text not null,
    slot_key bigint not null,
    share bigint not null,
    primary key (cell, slot_key)
);

-- Whoever gives places holds this row: room that two see is given once.
create table slot_planner (id integer primary key);
insert into slot_planner (id) values (1);
