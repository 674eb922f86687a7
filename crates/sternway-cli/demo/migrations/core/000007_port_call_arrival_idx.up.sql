-- The arrivals board reads by time all day; build its index without stopping the clerks who write.
CREATE INDEX CONCURRENTLY IF NOT EXISTS port_call_arrival_idx ON port_call (arrives_at, id);
