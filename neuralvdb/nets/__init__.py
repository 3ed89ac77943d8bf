"""The small integer network that both codecs share."""
