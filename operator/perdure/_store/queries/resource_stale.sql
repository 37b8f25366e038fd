-- Purpose: find living resources whose status may not show their run: never written, or made of another generation, turn or
--   phase, or of a run that somebody should have claimed and nobody did. One that says that no worker is there is of no turn.
-- Parameters: $1 namespaces, empty for all, $2 uid after which the page begins, $3 size of the page.
-- Locks: none. Reads the unsettled only (resources_unsettled): finished runs cost nothing.
select resources.uid
from resources
left join instances on instances.instance_id = resources.instance_id and instances.resource_uid = resources.uid
where
    resources.uid > $2
    and not resources.settled
    and resources.gone_at is null
    and (cardinality($1::text[]) = 0 or resources.namespace = any($1::text[]))
    and (
        resources.status is null
        or resources.status_generation is distinct from resources.generation
        or resources.status_turn is distinct from instances.turn
        or resources.status_phase is distinct from instances.phase
        or (instances.owner_id is null and instances.wake_at <= now())
    )
order by resources.uid
limit $3
