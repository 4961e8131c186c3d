-- How often an attempt over LwM2M began to give its device the image: a device that resets blocks, or restarts
-- in the middle each time, has only so many of these.

alter table lwm2m_attempt add column begins integer not null default 0;
