"""The small integer network of both codecs: its definition, how C++ gets it, and C++ that both use (native/)."""
