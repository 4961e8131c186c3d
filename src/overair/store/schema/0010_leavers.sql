-- Devices that were taken out of a campaign which takes in by itself what fits: they do not come back unless
-- somebody adds them.

create table campaign_leaver (
    campaign_id bigint not null references campaign (id),
    imei text not null,
    primary key (campaign_id, imei)
);
