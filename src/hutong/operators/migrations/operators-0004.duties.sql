-- depends: operators-0003.worker

-- What an operator is limited to among the decisions that name a duty; without any, their role alone counts.
ALTER TABLE operators.operator
    ADD COLUMN duties text[] NOT NULL DEFAULT '{}'
    CONSTRAINT operator_duties_check CHECK (array_position(duties, NULL) IS NULL AND cardinality(duties) <= 32);
