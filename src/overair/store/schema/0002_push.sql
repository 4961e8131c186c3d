-- Devices that are told to come, instead of asking by themselves: what is due for each of them, and
-- what their attempts have beside those of others.

alter table device_upgrade add column due_at bigint;  -- when a pushed device has to be looked at next
create index device_upgrade_due on device_upgrade (due_at) where due_at is not null;
create index device_upgrade_queued on device_upgrade (device_id) where state = 'queued';

alter table attempt add column reason text not null default '';  -- why it failed

create table push_attempt (
    attempt_id bigint primary key references attempt (id),
    correlator text not null unique,            -- what the device's report is known by
    session integer not null,                   -- the number of the session that it is asked to open
    called_at bigint not null,                  -- when the notifications under way began
    window_ends_at bigint not null,             -- until when they are deliverable
    pushes integer not null default 0,
    pushed_at bigint,
    executed_at bigint,                         -- the latest command that it was given
    verify_until bigint,                        -- it said that it succeeded; until when it may show that
    download_only boolean not null default false
);
