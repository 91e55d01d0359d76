"""Do the rules hold under load? Many senders, few users, several processes, one judge."""
