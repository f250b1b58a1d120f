//! Routes, layers and resources: the only axum beside the server.
