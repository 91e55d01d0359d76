"""How fast decisions are, against VW in process and against the floor of the stack over HTTP."""
