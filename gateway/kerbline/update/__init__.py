"""Campaigns: one bundle to many nodes in stages, as pure steps over what each node said.

It sends nothing and reads no clock; `agent.updates` does, and makes durable what a step changed
before it acts on it.
"""
