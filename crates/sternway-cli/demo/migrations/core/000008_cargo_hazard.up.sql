-- The fire brigade must know what lies on the quay: a closed list of classes, a UN number only where one applies.
CREATE TYPE cargo_hazard AS ENUM ('none', 'flammable', 'corrosive', 'toxic', 'explosive');

ALTER TABLE cargo
    ADD COLUMN hazard cargo_hazard NOT NULL DEFAULT 'none',
    ADD COLUMN un_number integer,
    ADD CONSTRAINT cargo_un_number_check
        CHECK (un_number IS NULL OR (hazard <> 'none' AND un_number BETWEEN 4 AND 3600));
