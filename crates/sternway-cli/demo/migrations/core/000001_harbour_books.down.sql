-- Nothing is older than these books, so closing them leaves an empty database; children first.
DROP TABLE IF EXISTS cargo;
DROP TABLE IF EXISTS port_call;
DROP TABLE IF EXISTS ship;
DROP TABLE IF EXISTS berth;
