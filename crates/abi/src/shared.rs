//! What agent and plugin share in memory: fixed layout, versioned, and nothing in it is trusted.
