"""The Flex Flow: its fields and their kinds, flow files, comparison, flows that can never match, the address face.

Changes when the FlexFlow or the Address Configuration resource changes. It decides nothing about a message: that is
`router.routing`. Nothing here reads or writes the store.
"""
