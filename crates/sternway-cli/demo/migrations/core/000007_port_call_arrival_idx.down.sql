-- Dropping it must not make the arrivals board wait either.
DROP INDEX CONCURRENTLY IF EXISTS port_call_arrival_idx;
