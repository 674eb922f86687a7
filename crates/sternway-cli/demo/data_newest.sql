-- What the office wrote in its first week on release 1.2.1; run once, after data.sql and the upgrade.
UPDATE port_call
SET priority = CASE WHEN remarks LIKE '%doctor%' THEN 'medical' ELSE 'tugs_waiting' END
WHERE remarks LIKE '%doctor%' OR remarks LIKE 'Two tugs%';

UPDATE port_call
SET reported_via = (ARRAY['radio', 'web', 'agent'])[right(reference, 5)::integer % 3 + 1]
WHERE reference > 'HB-2026-02200';

UPDATE cargo
SET reported_via = CASE WHEN weight_kg % 2 = 0 THEN 'manifest' ELSE 'agent' END
FROM port_call
WHERE port_call.id = cargo.port_call_id
  AND port_call.reference > 'HB-2026-02300';

-- A charterer pays in place of the consignees, and two bills are withdrawn on purpose.
UPDATE port_call SET billed_to = 'Meridian Charter'
WHERE reference BETWEEN 'HB-2026-02301' AND 'HB-2026-02340';

UPDATE port_call SET billed_to = NULL
WHERE reference IN ('HB-2026-02345', 'HB-2026-02351');

UPDATE cargo
SET hazard = CASE goods WHEN 'Fertiliser' THEN 'toxic' ELSE 'flammable' END::cargo_hazard,
    un_number = CASE goods WHEN 'Paint and thinners' THEN 1263 WHEN 'Diesel' THEN 1202 END
FROM port_call
WHERE port_call.id = cargo.port_call_id
  AND port_call.reference > 'HB-2026-02000'
  AND cargo.goods IN ('Paint and thinners', 'Diesel', 'Fertiliser');

-- Next week's calls, with midsummer fireworks among their cargo.
INSERT INTO port_call (reference, ship_id, arrives_at, remarks, priority, reported_via, billed_to)
SELECT
    'HB-2026-' || lpad((2400 + n)::text, 5, '0'),
    ship.id,
    timestamptz '2026-06-20 05:00:00+00' + n * interval '100 minutes',
    CASE WHEN n % 9 = 0 THEN 'Convoy with the ferry' ELSE '' END,
    CASE WHEN n % 9 = 0 THEN 'convoy' ELSE 'in_turn' END,
    (ARRAY['radio', 'web', 'agent'])[n % 3 + 1],
    CASE WHEN n % 4 <> 0 THEN ship.operator END
FROM generate_series(1, 36) AS n
JOIN ship ON ship.imo_number = 9100000 + (n * 11) * 37
ORDER BY n;

INSERT INTO cargo (port_call_id, goods, weight_kg, consignee, reported_via, hazard, un_number)
SELECT
    port_call.id,
    (ARRAY['Fireworks', 'Battery acid', 'Barley'])[n % 3 + 1],
    900 + n * 410,
    (ARRAY['Town Council', 'Ostrava Machines', 'Mill & Malt'])[n % 3 + 1],
    'manifest',
    (ARRAY['explosive', 'corrosive', 'none'])[n % 3 + 1]::cargo_hazard,
    (ARRAY[336, 2796, NULL])[n % 3 + 1]
FROM generate_series(1, 36) AS n
JOIN port_call ON port_call.reference = 'HB-2026-' || lpad((2400 + n)::text, 5, '0')
ORDER BY n;

-- Bookings for the last ten rounds of berths, at most one mooring at each; then requests for next week.
INSERT INTO berth_booking (berth_id, port_call_id, state, from_time, until_time)
SELECT
    berth_id,
    id,
    CASE
        WHEN departs_at IS NULL THEN 'moored'
        WHEN right(reference, 5)::integer % 17 = 0 THEN 'cancelled'
        ELSE 'departed'
    END,
    arrives_at,
    coalesce(departs_at, arrives_at + interval '14 hours')
FROM port_call
WHERE reference BETWEEN 'HB-2026-02269' AND 'HB-2026-02388'
ORDER BY reference;

INSERT INTO berth_booking (berth_id, port_call_id, from_time, until_time)
SELECT berth.id, port_call.id, port_call.arrives_at, port_call.arrives_at + interval '9 hours'
FROM generate_series(1, 36) AS n
JOIN port_call ON port_call.reference = 'HB-2026-' || lpad((2400 + n)::text, 5, '0')
JOIN berth ON right(berth.code, -1)::integer = n % 12 + 1
ORDER BY n;

INSERT INTO berth_booking_event (booking_id, happened_at, what, detail)
SELECT
    berth_booking.id,
    CASE step.what
        WHEN 'requested' THEN berth_booking.from_time - interval '3 days'
        WHEN 'confirmed' THEN berth_booking.from_time - interval '2 days'
        WHEN 'cancelled' THEN berth_booking.from_time - interval '1 day'
        WHEN 'moored' THEN berth_booking.from_time
        WHEN 'departed' THEN berth_booking.until_time
    END,
    step.what,
    jsonb_build_object('by', (ARRAY['Vera', 'Anselm', 'Yusuf'])[(berth_booking.id % 3)::integer + 1])
FROM berth_booking
CROSS JOIN LATERAL unnest(
    CASE berth_booking.state
        WHEN 'requested' THEN ARRAY['requested']
        WHEN 'cancelled' THEN ARRAY['requested', 'confirmed', 'cancelled']
        WHEN 'moored' THEN ARRAY['requested', 'confirmed', 'moored']
        ELSE ARRAY['requested', 'confirmed', 'moored', 'departed']
    END
) WITH ORDINALITY AS step (what, position)
ORDER BY berth_booking.id, step.position;

-- Eight subjects on eight axes, each note leaning a little towards the others.
INSERT INTO log_note (port_call_id, author, body, visibility, written_at, embedding)
SELECT
    port_call.id,
    (ARRAY['Vera', 'Anselm', 'Yusuf'])[n % 3 + 1],
    (ARRAY['Crane 2 groans above twenty tonnes; book crane 3 for machinery',
           'Fenders worn thin here, come alongside slowly',
           'Master prefers the pilot to board from the lee side',
           'Customs opened three containers, nothing found',
           'Water hose leaks at the coupling, spare is in the shed',
           'Wash from the ferry works the moorings loose, double the springs',
           'Agent pays late but always pays',
           'Seals asleep on the slipway again, go round them'])[n % 8 + 1],
    (ARRAY['office', 'pilots', 'public'])[n % 3 + 1],
    port_call.arrives_at + (n % 7) * interval '25 minutes',
    (SELECT array_agg((CASE WHEN axis = n % 8 THEN 1.0 ELSE (n * (axis + 3)) % 16 / 64.0 END)::real ORDER BY axis)
     FROM generate_series(0, 7) AS axis)::vector(8)
FROM generate_series(1, 240) AS n
JOIN port_call ON port_call.reference = 'HB-2026-' || lpad((2148 + n)::text, 5, '0')
ORDER BY n;

-- Written without a visibility, as 1.2 allows; the last one still waits for its embedding.
INSERT INTO log_note (author, body, written_at, embedding) VALUES
    ('Vera', 'The lamp at the end of the Salt Wharf is out', '2026-06-21 21:40:00+00',
     '[0.125, 0.875, 0, 0, 0.25, 0.125, 0, 0.0625]'),
    ('Yusuf', 'New radio procedure starts with the July tide tables', '2026-06-22 08:05:00+00',
     '[0, 0, 0.9375, 0.25, 0, 0, 0.125, 0]'),
    ('Anselm', 'Whoever borrowed the long boathook, please return it', '2026-06-22 08:10:00+00', NULL);
