"""Real-time video perception for driving footage."""
