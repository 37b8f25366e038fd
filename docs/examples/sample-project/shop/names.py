"""The names that stand in histories and resources: they never change."""

PACK = "shop::activity::pack"
ORDER = "shop::orchestration::order"
