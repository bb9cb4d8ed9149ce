"""Routing: computes the route of a message, with the reasons for it, from the message, the flows and the contact.

The functions are pure: the time, the contact and the flows are arguments. This package does not access the store.
`resolve` finds the flows of the message's addresses, `selection` chooses among those with conditions. Whether the
conversation keeps its flow instead is decided by the store, in one step with the acceptance (store/scripts/choice.lua);
`contact` has the same rule, for explanations.
"""
