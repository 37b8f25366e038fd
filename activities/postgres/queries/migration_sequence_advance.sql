-- Purpose: let a sequence go on from where another one has come to, unless it is there or beyond.
-- Parameters: $1 the sequence, quoted, $2 last value, $3 whether that was given out.
-- Names: schema, sequence.
-- Locks: none; who takes a value at this very moment may be given one twice.
select setval(kept.seqrelid::regclass, $2::bigint, $3::boolean)
from :"schema".:"sequence" as mine
join pg_sequence as kept on kept.seqrelid = cast($1::text as regclass)
where (mine.last_value * sign(kept.seqincrement::numeric), mine.is_called) < ($2::bigint * sign(kept.seqincrement::numeric), $3::boolean);
