"""OrchestrationSchedule: runs that begin by the clock.

`ticks` says when, `deciding` which of the ticks are run, `runs` what is created for one, `status` what is shown;
`keeper` does it.
"""
