-- Half a year in a busy small port, as release 1.0.0 wrote it; the same rows at every run.
INSERT INTO berth (code, quay, length_m, depth_cm)
SELECT
    (ARRAY['N', 'N', 'N', 'N', 'E', 'E', 'E', 'S', 'S', 'S', 'F', 'F'])[n] || n,
    (ARRAY['North Quay', 'North Quay', 'North Quay', 'North Quay',
           'Eastern Basin', 'Eastern Basin', 'Eastern Basin',
           'Salt Wharf', 'Salt Wharf', 'Salt Wharf',
           'Ferry Pier', 'Ferry Pier'])[n],
    200 + (n * 35) % 90,
    850 + (n * 70) % 400
FROM generate_series(1, 12) AS n
ORDER BY n;

INSERT INTO ship (imo_number, name, operator, length_m)
SELECT
    9100000 + n * 37,
    (ARRAY['Northern', 'Silver', 'Patient', 'Amber', 'Distant', 'Blue', 'Merry', 'Old', 'Quiet', 'Bright',
           'Western', 'Golden', 'Swift', 'Lucky', 'Steady', 'Grey', 'Early', 'Brave', 'Salty', 'Gentle'])[n % 20 + 1]
    || ' '
    || (ARRAY['Tern', 'Lantern', 'Petrel', 'Compass', 'Heron', 'Anchor', 'Marlin', 'Bell', 'Cormorant', 'Tide',
              'Kestrel', 'Harbour', 'Gannet', 'Sextant', 'Otter', 'Beacon', 'Plover', 'Keel', 'Osprey', 'Breeze'])
        [n / 20 + 1],
    (ARRAY['Lindqvist & Sons', 'Atlantic Coasters', 'Bay Ferries', 'Three Rivers Line',
           'Marchetti Shipping', 'Oyelaran Maritime', 'Hokuto Bulk', 'Sund Tankers'])[n % 8 + 1],
    62 + (n * 29) % 138
FROM generate_series(0, 399) AS n
ORDER BY n;

-- Each berth takes a ship every twenty hours; the last ones are still moored or out at anchor.
INSERT INTO port_call (reference, ship_id, berth_id, arrives_at, departs_at, remarks)
SELECT
    'HB-2026-' || lpad(n::text, 5, '0'),
    ship.id,
    berth.id,
    slot.arrives_at,
    CASE WHEN n <= 2376 THEN slot.arrives_at + (6 + n % 11) * interval '1 hour' END,
    CASE
        WHEN n % 97 = 0 THEN 'Master asks for a doctor on arrival'
        WHEN n % 53 = 0 THEN 'Two tugs, bow thruster out of order'
        WHEN n % 29 = 0 THEN 'Fresh water, 40 tonnes'
        WHEN n % 11 = 0 THEN 'Shore power'
        ELSE ''
    END
FROM generate_series(1, 2400) AS n
CROSS JOIN LATERAL (
    SELECT timestamptz '2026-01-02 04:00:00+00'
           + ((n - 1) / 12) * interval '20 hours'
           + (n % 12) * interval '15 minutes' AS arrives_at
) AS slot
JOIN ship ON ship.imo_number = 9100000 + ((n * 7) % 400) * 37
LEFT JOIN berth ON n <= 2388 AND right(berth.code, -1)::integer = n % 12 + 1
ORDER BY n;

-- None to three lots a call; a third of the calls with several lots carry for several consignees.
INSERT INTO cargo (port_call_id, goods, weight_kg, consignee)
SELECT
    port_call.id,
    (ARRAY['Sawn timber', 'Barley', 'Road salt', 'Paint and thinners', 'Tinned fish',
           'Wind turbine blades', 'Fertiliser', 'Diesel', 'Coffee', 'Machine parts'])[(n * 3 + lot) % 10 + 1],
    1200 + (n * 7919 + lot * 104729) % 480000,
    (ARRAY['Hartwell Timber', 'Mill & Malt', 'County Roads', 'Fjord Cannery',
           'Green Field Supply', 'Corner Roasters', 'Ostrava Machines'])
        [(CASE WHEN n % 3 = 0 THEN n + lot ELSE n END) % 7 + 1]
FROM generate_series(1, 2400) AS n
CROSS JOIN generate_series(1, 3) AS lot
JOIN port_call ON port_call.reference = 'HB-2026-' || lpad(n::text, 5, '0')
WHERE lot <= n % 4
ORDER BY n, lot;

INSERT INTO pilot (licence, name, on_duty)
SELECT
    'PL-' || lpad((n * 13)::text, 4, '0'),
    (ARRAY['Ines Aldana', 'Tomas Berg', 'Ruth Calloway', 'Emeka Dike', 'Saara Eklund', 'Paolo Ferri',
           'Nadia Guerin', 'Henk Hoekstra', 'Ayla Ince', 'Jonas Juhl', 'Kirsten Kvam', 'Mateo Lobo'])[n],
    n % 6 <> 0
FROM generate_series(1, 12) AS n
ORDER BY n;

INSERT INTO pilotage (port_call_id, pilot_id, boards_at, inbound)
SELECT
    port_call.id,
    pilot.id,
    CASE leg
        WHEN 1 THEN port_call.arrives_at - interval '90 minutes'
        ELSE port_call.departs_at - interval '20 minutes'
    END,
    leg = 1
FROM generate_series(1, 2400) AS n
CROSS JOIN generate_series(1, 2) AS leg
JOIN port_call ON port_call.reference = 'HB-2026-' || lpad(n::text, 5, '0')
JOIN pilot ON pilot.licence = 'PL-' || lpad((((n + leg * 5) % 12 + 1) * 13)::text, 4, '0')
WHERE n % 2 = 0
  AND (leg = 1 OR port_call.departs_at IS NOT NULL)
ORDER BY n, leg;
