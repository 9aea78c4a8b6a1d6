"""The sandbox's bank: it receives what the channels' bills settle, and states it in its statements."""
