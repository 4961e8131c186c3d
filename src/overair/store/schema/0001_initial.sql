-- The whole of the first schema. One text for SQLite and PostgreSQL: $ID is the type of a generated
-- integer key, $BYTES of a byte string. Instants are BIGINT milliseconds since the epoch (UTC), dates
-- are TEXT 'YYYY-MM-DD', hours lists are TEXT such as '0-4,20-24'. States are text.

-- Who may call ------------------------------------------------------------------------------------

create table account (
    id $ID,
    name text not null unique,
    alias text unique,                          -- lower case; second name, used as DDI tenant
    active boolean not null default true,
    gateway_token_hash text,                    -- sha256, hex
    auto_register boolean not null default false,
    poll_interval_s integer,                    -- null: the installation's
    created_at bigint not null
);

create table application (
    id $ID,
    key text not null unique,
    secret_hash text not null,
    active boolean not null default true
);

create table bearer_token (
    token_hash text primary key,
    application_id bigint not null references application (id),
    nonce text not null,
    issued_at bigint not null,
    expires_at bigint not null,
    revoked_at bigint
);
create index bearer_token_application on bearer_token (application_id, expires_at);

create table m2m_user (
    id $ID,
    username text not null unique,
    password_hash text not null,
    active boolean not null default true
);

create table user_account (
    user_id bigint not null references m2m_user (id),
    account_id bigint not null references account (id),
    primary key (user_id, account_id)
);

create table session (
    token_hash text primary key,
    user_id bigint not null references m2m_user (id),
    created_at bigint not null,
    used_at bigint not null,
    ended_at bigint
);
create index session_used on session (used_at);

-- What is bought ----------------------------------------------------------------------------------

create table subscription (
    account_id bigint primary key references account (id),
    purchase_type text not null,
    license_count bigint not null,
    license_used_count bigint not null default 0 check (license_used_count >= 0),
    updated_at bigint not null
);

-- What can be delivered ---------------------------------------------------------------------------

create table artifact (
    sha256 text primary key,
    sha1 text not null,
    md5 text not null,
    size_bytes bigint not null,
    created_at bigint not null
);

create table package (
    id $ID,
    kind text not null check (kind in ('software', 'file')),
    account_id bigint references account (id),  -- the owner of a configuration file; null: catalogue
    name text not null,
    protocol text not null,                     -- OMADM, LWM2M, HTTP
    make text not null,
    model text not null,
    from_version text not null,                 -- '' for configuration files
    to_version text not null,
    launch_at bigint not null,
    release_note text not null default '',
    part text not null default 'os',            -- DDI chunk part
    local_target_path text not null default '',
    file_name text,                             -- the stored name, ending kept
    artifact_sha256 text references artifact (sha256),
    restricted boolean not null default false,  -- true: only for the accounts in package_account
    created_at bigint not null,
    updated_at bigint not null
);
create unique index package_software_name on package (name) where kind = 'software';
create unique index package_file_version on package (account_id, name, to_version)
    where kind = 'file';
create index package_make_model on package (make, model);
create index package_artifact on package (artifact_sha256);

create table package_account (
    package_id bigint not null references package (id),
    account_id bigint not null references account (id),
    primary key (package_id, account_id)
);

-- The pilot rule's count: devices with a final outcome, per package and account.
create table package_proof (
    account_id bigint not null references account (id),
    package_id bigint not null references package (id),
    succeeded integer not null default 0,
    failed integer not null default 0,
    proven_at bigint,
    primary key (account_id, package_id)
);

-- Devices -----------------------------------------------------------------------------------------

create table device (
    id $ID,
    account_id bigint not null references account (id),
    imei text not null unique,
    mdn text not null default '',
    make text not null default '',
    model text not null default '',
    protocol text not null default 'HTTP',
    version text not null default '',
    fota_eligible boolean not null default true,
    status text not null default 'Active',
    time_zone text,
    controller_id text not null,
    token_hash text,                            -- sha256, hex
    token_salt text,                            -- not null: the token was derived, and can be shown
    two_phase boolean,                          -- null: as the client's User-Agent says
    poll_interval_s integer,
    wants_attributes boolean not null default true,
    open_upgrade_id bigint,                     -- its place in an unfinished campaign
    open_attempt_id bigint,                     -- its action that is not at its end
    installed_attempt_id bigint,                -- its latest successful action
    created_at bigint not null,
    updated_at bigint not null,
    upgraded_at bigint,
    refreshed_at bigint,
    unique (account_id, controller_id)
);
create index device_open_attempt on device (open_attempt_id) where open_attempt_id is not null;
create index device_account_imei on device (account_id, imei);
create index device_account_make_model on device (account_id, make, model);

create table device_attribute (
    device_id bigint not null references device (id),
    name text not null,
    value text not null,
    primary key (device_id, name)
);

-- What an operator said of a device for one of its protocols, beside the columns above: names, keys.
create table device_protocol (
    device_id bigint not null references device (id),
    protocol text not null,                     -- LWM2M, OMADM
    document text not null,                     -- JSON object, members as in the fleet file
    primary key (device_id, protocol)
);

-- What a device was given beside its main software: configuration files, by name.
create table device_software (
    device_id bigint not null references device (id),
    name text not null,
    version text not null,
    kind text not null,
    upgraded_at bigint not null,
    primary key (device_id, name)
);

-- Written by every flush of check-ins, so it is narrow.
create table device_seen (
    device_id bigint primary key,
    seen_at bigint not null,
    check_in_id bigint                          -- the device's latest check-in
);

-- Appended only, and read along previous_id: an index by device would cost a page a poll.
create table check_in (
    id $ID,
    device_id bigint not null,
    at bigint not null,
    result text not null,
    failure_type text not null,
    previous_id bigint
);

create table license (
    device_id bigint primary key references device (id),
    account_id bigint not null references account (id),
    assigned_at bigint not null,
    used_at bigint,                             -- first upgrade completed since it was assigned
    ends_after_upgrade boolean not null default false
);
create index license_account on license (account_id, assigned_at, device_id);

create table cancel_candidate (
    account_id bigint not null references account (id),
    position bigint not null,
    device_id bigint not null references device (id),
    primary key (account_id, position)
);
create unique index cancel_candidate_device on cancel_candidate (account_id, device_id);

create table cancel_list (
    account_id bigint primary key references account (id),
    updated_at bigint not null
);

create table billing_event (
    id $ID,
    account_id bigint not null references account (id),
    device_id bigint not null references device (id),
    campaign_id bigint,
    kind text not null,                         -- upgrade, license_month
    at bigint not null
);
create index billing_event_account on billing_event (account_id, id);

-- Campaigns ---------------------------------------------------------------------------------------

create table campaign (
    id $ID,                                     -- also the order of creation
    uuid text not null unique,
    account_id bigint not null references account (id),
    api_version integer not null,
    kind text not null,                         -- software, file
    name text not null default '',
    package_id bigint not null references package (id),
    distribution_type text not null,            -- as published for the version
    status text not null,
    reason text not null default '',
    start_date text not null,
    end_date text not null,
    download_after_date text,
    download_windows text not null default '',
    install_after_date text,
    install_windows text not null default '',
    tag integer not null default 1,             -- grows when what devices are told changes
    created_at bigint not null,
    started_at bigint,
    ended_at bigint,
    due_at bigint,                              -- when the engine has to look at it next
    lease_owner text,
    lease_until bigint,
    closing text                                -- the event being carried to its devices, or null
);
create index campaign_due on campaign (due_at) where due_at is not null;
create index campaign_account_status on campaign (account_id, api_version, status, id);
create index campaign_package on campaign (package_id, status);

-- Devices to add or remove, asked for before the start, processed in the order asked.
create table campaign_change (
    id $ID,
    uuid text not null unique,
    campaign_id bigint not null references campaign (id),
    type text not null check (type in ('append', 'remove')),
    imeis text not null,                        -- JSON list: whatever was sent as a device id
    requested_at bigint not null
);
create index campaign_change_campaign on campaign_change (campaign_id, id);

create table device_upgrade (
    id $ID,
    campaign_id bigint not null references campaign (id),
    device_id bigint references device (id),    -- null until checked, and for an unknown IMEI
    imei text not null,
    state text not null,
    reason text not null default '',
    attempts integer not null default 0,
    not_before bigint,                          -- no further offer before
    started_at bigint,                          -- first offer of the latest attempt
    updated_at bigint not null,
    unique (campaign_id, imei)
);
create index device_upgrade_sweep on device_upgrade (campaign_id, state, id);
create index device_upgrade_device on device_upgrade (device_id, id);
create index device_upgrade_imei on device_upgrade (imei, id);

-- Rows added up give the count of a campaign's devices in a state; slots keep writers apart.
create table tally (
    campaign_id bigint not null,
    state text not null,
    slot integer not null,
    count bigint not null,
    primary key (campaign_id, state, slot)
);

create table attempt (
    id $ACTION_ID,                              -- the DDI action id: below 2^31, never used twice
    upgrade_id bigint not null references device_upgrade (id),
    campaign_id bigint not null references campaign (id),
    device_id bigint not null references device (id),
    package_id bigint not null references package (id),
    artifact_sha256 text not null,              -- the bytes offered, also if the package changes
    file_name text not null,
    number integer not null,                    -- 1 for the device's first in the campaign
    state text not null,
    offered_at bigint not null,
    retrieved_at bigint,
    running_at bigint,
    downloaded_at bigint,
    closed_at bigint,
    cancel_refused_at bigint,
    coverage text not null default '',          -- the bytes sent of the download under way
    downloads integer not null default 0,       -- complete downloads
    feedback_count integer not null default 0,
    due_at bigint                               -- when it expires by itself
);
create index attempt_due on attempt (due_at) where due_at is not null;
create index attempt_upgrade on attempt (upgrade_id, id);
create index attempt_device on attempt (device_id, id);

create table feedback (
    id $ID,
    attempt_id bigint not null references attempt (id),
    at bigint not null,
    execution text not null,
    finished text not null,
    code bigint,
    details text not null                       -- JSON list of strings
);
create index feedback_attempt on feedback (attempt_id, id);

-- Telling others ----------------------------------------------------------------------------------

create table callback_listener (
    account_id bigint not null references account (id),
    api_version integer not null,
    generation bigint not null,                 -- a message goes to the listener it was written for
    url text not null,                          -- '': deleted; the row keeps the generation
    username text not null default '',
    password text not null default '',
    registered_at bigint not null,
    primary key (account_id, api_version)
);

create table callback_message (
    id $ID,
    account_id bigint not null references account (id),
    api_version integer not null,
    generation bigint not null,
    stream text not null,                       -- messages of one stream are sent in order
    body text not null,
    state text not null,                        -- new, queued, delivered, dropped
    attempts integer not null default 0,
    created_at bigint not null,
    due_at bigint,                              -- of the first message of a stream only
    lease_owner text,
    lease_until bigint,
    done_at bigint
);
create index callback_message_due on callback_message (due_at) where due_at is not null;
create index callback_message_new on callback_message (account_id, api_version, id)
    where state = 'new';
create index callback_message_stream on callback_message (account_id, api_version, stream, id)
    where state = 'queued';

create table callback_delivery (
    id $ID,
    message_id bigint not null references callback_message (id),
    at bigint not null,
    status integer,                             -- HTTP status, null where there was no answer
    error text not null default '',
    duration_ms integer not null
);
create index callback_delivery_message on callback_delivery (message_id, id);

-- Logging -----------------------------------------------------------------------------------------

create table device_logging (
    device_id bigint primary key references device (id),
    account_id bigint not null references account (id),
    expires_at bigint not null
);
create index device_logging_account on device_logging (account_id);

create table device_log (
    id $ID,
    device_id bigint not null references device (id),
    at bigint not null,
    type text not null,
    text text not null,
    binary_file $BYTES,
    binary_name text not null default ''
);
create index device_log_device on device_log (device_id, id);
create index device_log_at on device_log (at);
