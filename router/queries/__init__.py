"""What people ask and do, by HTTP, on the command line and on pages: deliveries, contacts, recovery.

Each question has one implementation here, whoever asks it. Nothing here prints, and nothing knows HTTP.
"""
