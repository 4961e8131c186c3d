-- LwM2M devices of which something is wanted beside their upgrades: a report, or that their cell is
-- followed, or followed no more.

create table lwm2m_report (
    device_id bigint primary key references device (id),
    asked_at bigint not null,                   -- somebody wants to know what it runs
    refused boolean not null default false      -- it was asked, and does not tell
);

-- Whose licence, or campaign, has come or gone; until the edge has seen it.
create table lwm2m_follow (
    device_id bigint primary key references device (id)
);
