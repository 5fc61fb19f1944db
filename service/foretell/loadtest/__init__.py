"""Load tests: questions whose answers are known, arrivals that wait for nobody, and targets that are met or missed.

`prepare` runs in an ordinary process; `users` and what it imports run in Locust's.
"""
