-- Assignments point at pilots, so they leave first.
DROP TABLE IF EXISTS pilotage;
DROP TABLE IF EXISTS pilot;
