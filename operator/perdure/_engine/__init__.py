"""The engine: loops around the pure core and the store.

It claims instances, takes turns, commits them in groups, runs activities, keeps timers and a lease. It knows neither
SQL nor Kubernetes: statements are the store's, and what an activity is lent comes in from outside.
"""
