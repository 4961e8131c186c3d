"""Parts of HTTP (RFC 9110) that need deciding and not sockets."""
