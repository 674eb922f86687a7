-- The history hangs on the bookings, so it goes first; older releases keep bookings on the wall.
DROP TABLE IF EXISTS berth_booking_event;
DROP TABLE IF EXISTS berth_booking;
